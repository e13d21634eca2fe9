"""Adapters: each translates between a matrix and one vendor's API, and does nothing else."""
