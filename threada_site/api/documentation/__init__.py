"""Pages about the product that the instance serves: API, reason codes, guide."""
