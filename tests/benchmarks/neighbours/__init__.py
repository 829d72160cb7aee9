"""Plain job queues that make the same calls without governance."""
