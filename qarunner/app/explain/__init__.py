"""The page of a code, and one row from its lines to its request."""
