"""The smallest honest Django+DRF insert: a view that checks a body with a serializer and saves one row."""
