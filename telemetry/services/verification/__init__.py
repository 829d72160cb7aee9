"""Verifying a tenant's log from the inside: stored bytes, columns, tree, checkpoints and signatures.

Reads in one snapshot and in streams, so that sealing goes on and memory stays flat, however long the log is.
"""

from telemetry.services.verification.heads import KeptHead
from telemetry.services.verification.log import Tally, log_size, verify_log
from telemetry.services.verification.single import Verified, verify_receipt
from telemetry.services.verification.snapshot import snapshot

__all__ = ["KeptHead", "Tally", "Verified", "log_size", "snapshot", "verify_log", "verify_receipt"]
