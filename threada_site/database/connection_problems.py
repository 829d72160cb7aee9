"""Sentences for operators: why PostgreSQL or a file cannot be used, and what to do. Without passwords. Pure."""

from __future__ import annotations

import errno
from typing import Final

UNUSABLE: Final = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM)
"""Errors of files and directories that an operator can remove."""
_REMEDIES: Final = (
    ("refused", "No PostgreSQL listens there. Start it, or correct host and port in DATABASE_URL"),
    ("No such file or directory", "No PostgreSQL listens there. Start it, or correct the host in DATABASE_URL"),
    ("could not translate host name", "Correct the host in DATABASE_URL, or the name resolution of this machine"),
    ("failed to resolve host", "Correct the host in DATABASE_URL, or the name resolution of this machine"),
    ("Name or service not known", "Correct the host in DATABASE_URL, or the name resolution of this machine"),
    ("timeout", "Correct host and port in DATABASE_URL, or let a firewall pass connections to them"),
    ("password authentication failed", "Correct user and password in DATABASE_URL"),
    ("no password supplied", "Put the password into DATABASE_URL"),
    ("no pg_hba.conf entry", "Let this machine in: add a line to pg_hba.conf of the server"),
    ("SSL", "Set sslmode in DATABASE_URL to what the server offers"),
    ("No space left", "Free space on the disk of the database, or enlarge it"),
    ("could not extend file", "Free space on the disk of the database, or enlarge it"),
    ("too many clients", "Raise max_connections of the server, or lower THREADA_DATABASE_POOL"),
    ("remaining connection slots", "Raise max_connections of the server, or lower THREADA_DATABASE_POOL"),
    ("read-only transaction", "The server is a standby or read-only. Connect to the primary"),
    ("permission denied", "Let manage.py database_logins write the logins and grants that are missing"),
    ("starting up", "Wait until the server has recovered, then try again"),
    ("recovery mode", "Wait until the server has recovered, then try again"),
)


def connection_problem(error: BaseException) -> str:
    """Return one sentence about the error of a connection or statement, and one with the remedy."""
    said = _sentence(str(error))
    for words, remedy in _REMEDIES:
        if words.lower() in str(error).lower():
            return f"The database cannot be used: {said}. {remedy}."
    if "does not exist" in said:
        return (
            f"The database cannot be used: {said}. Set DATABASE_URL to a superuser once: manage.py up creates roles, "
            "logins and database. Or use the script of manage.py database_logins."
        )
    return f"The database cannot be used: {said}. manage.py doctor looks for the reason."


def file_problem(error: OSError) -> tuple[str, str]:
    """Return the error of a file, and the remedy."""
    said = f"{error.filename}: {error.strerror}" if error.filename else str(error.strerror or error)
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return said, "Free space on this disk, or enlarge it."
    if error.errno in UNUSABLE:
        return said, "Let the user who runs Threada write there: mount it writable, or change owner and mode."
    return said, "Look at the file and its directory."


def _sentence(text: str) -> str:
    """Return the first line with content, without the prefixes of libpq."""
    lines = [line.strip() for line in text.splitlines() if line.strip()] or ["no reason was given"]
    last = next((line for line in reversed(lines) if "FATAL:" in line), lines[0])
    return last.rpartition("FATAL:")[2].strip().rstrip(".") or lines[0]
