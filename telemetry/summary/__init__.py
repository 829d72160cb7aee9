"""Counting rules of the summary: measures, quantiles, rollups. Pure."""
