"""Worker processes of both job engines."""
