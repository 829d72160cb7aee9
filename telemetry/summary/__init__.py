"""Metrics of governed work, kept up as receipts are sealed: what to count, how to estimate, what to show. Pure."""
