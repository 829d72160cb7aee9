"""Minimal Django and DRF insert: a view that checks a body with a serializer and saves one row."""
