"""Sealing: queued receipts become leaves of their tenant's log, and the log's head is signed. Imports no Django.

The sealer is a process of its own that holds the signing key, so it carries little: psycopg, `telemetry.tlog`, files.
"""
