"""Verifying a tenant's log from the inside: stored bytes, columns, tree, checkpoints and signatures.

Reads in one snapshot and in streams, so that sealing goes on and memory stays flat, however long the log is.
"""

from telemetry.services.verification.checkpoints import ArchivedCheckpoint
from telemetry.services.verification.instance import newest_entry, verify_instance
from telemetry.services.verification.log import VerificationStats, verify_log
from telemetry.services.verification.single import Verified, verify_receipt
from telemetry.services.verification.snapshot import instance_snapshot, snapshot

__all__ = [
    "ArchivedCheckpoint",
    "VerificationStats",
    "Verified",
    "instance_snapshot",
    "newest_entry",
    "snapshot",
    "verify_instance",
    "verify_log",
    "verify_receipt",
]
