"""Receipts: format, recording, refusals, filters, projections and removal."""
