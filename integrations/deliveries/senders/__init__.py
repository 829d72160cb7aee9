"""Senders of delivery batches, one module per kind of target. Each sends outside any transaction."""
