"""Completeness of the receipts: compares what happened with what was recorded."""
