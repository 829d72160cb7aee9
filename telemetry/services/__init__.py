"""Writes of telemetry: receipts, refusals, exports, deliveries, summary counts."""
