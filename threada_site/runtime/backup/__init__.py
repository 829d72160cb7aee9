"""Backups of the instance: database, keys, signed checkpoints and stored files in one file, and their restore."""
