"""Resources of receipts, their log, exports and summaries."""
