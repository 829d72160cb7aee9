"""Command `threada`."""
