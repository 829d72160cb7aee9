"""Verification of a tenant's log inside the system: stored bytes, columns, tree, checkpoints and signatures.

Reads one snapshot as a stream, so that sealing continues and memory use does not depend on the length of the log.
"""

from telemetry.verification.checkpoints import ArchivedCheckpoint
from telemetry.verification.log import VerificationStats, verify_log
from telemetry.verification.single_receipt import Verified, verify_receipt
from telemetry.verification.snapshot import instance_snapshot, snapshot

__all__ = [
    "ArchivedCheckpoint",
    "VerificationStats",
    "Verified",
    "instance_snapshot",
    "snapshot",
    "verify_log",
    "verify_receipt",
]
