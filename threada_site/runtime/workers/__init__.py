"""The worker processes of both job engines."""
