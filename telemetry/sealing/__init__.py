"""Sealing: queued receipts become leaves of their tenant's log, and a checkpoint of the log is signed. Imports no
Django.

The sealer is a separate process that owns the signing key, so it loads little: psycopg, `telemetry.tlog`, files.
"""
