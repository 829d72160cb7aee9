"""Access reviews: who holds what since when, and its confirmation by people."""
