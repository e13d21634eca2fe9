"""Entries become a plan: deterministic JSON that says what would be sent, and holds no secret."""
