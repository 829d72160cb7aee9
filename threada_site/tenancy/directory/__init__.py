"""Groups of members, and people and groups that provisioning clients maintain."""
