"""Why the embedded PostgreSQL could not be had; every message says what to do next."""

from __future__ import annotations

OWN_DATABASE = "or set DATABASE_URL to a PostgreSQL of your own"


class EmbeddedPostgresError(RuntimeError):
    """Base of all of them. `str(error)` is a sentence for the operator."""


class BinariesMissing(EmbeddedPostgresError):
    """The wheel with the server's binaries is not installed, or not for this platform."""


class AccountMissing(EmbeddedPostgresError):
    """There is no operating system account that the server could run under."""


class DirectoryNotOurs(EmbeddedPostgresError):
    """A directory belongs to another user, or may not be entered by the one who must."""


class DataDirectoryMoved(EmbeddedPostgresError):
    """The data directory was moved or copied away from the cluster it was made with."""


class VersionMismatch(EmbeddedPostgresError):
    """The cluster on disk was made by another major version of PostgreSQL."""


class InitialisationFailed(EmbeddedPostgresError):
    """`initdb` refused; the message carries its last words."""


class StartFailed(EmbeddedPostgresError):
    """The server ended, or was not ready in time; the message carries the end of its log."""


class StopFailed(EmbeddedPostgresError):
    """The server did not end in time."""


class LauncherBusy(EmbeddedPostgresError):
    """Another process has been starting or stopping the same server for too long."""
