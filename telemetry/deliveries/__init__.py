"""Continuous deliveries of sealed receipts: targets, positions, batches and retry rules."""
