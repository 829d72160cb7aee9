"""Change sets: changes that take effect when an independent person publishes them."""
