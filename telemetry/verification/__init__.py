"""Verification of a tenant's log inside the system: stored bytes, columns, tree, checkpoints and signatures.

Reads one snapshot as a stream, so that sealing continues and memory use does not depend on the length of the log.
"""
