"""Reports of governed work: charts over days and tables."""
