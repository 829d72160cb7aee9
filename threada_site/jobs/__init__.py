"""Background jobs: the engine-neutral interface and its engines."""
