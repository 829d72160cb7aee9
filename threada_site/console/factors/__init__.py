"""Console pages of second factors, and codes in forms."""
