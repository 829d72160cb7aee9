"""The summary: counts of governed work by day and dimension, their rollups and metrics."""
