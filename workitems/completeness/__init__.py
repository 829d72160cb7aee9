"""Completeness of receipts: comparison of the rows with the recorded receipts."""
