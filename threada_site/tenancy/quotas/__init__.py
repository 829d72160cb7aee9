"""Quotas: how much of each kind one tenant may have. The operator sets them."""
