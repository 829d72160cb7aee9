"""Background jobs: the engine-neutral interface and the engines."""
