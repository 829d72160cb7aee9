"""The instance log, off by default: signed checkpoints of all tenants in one log."""
