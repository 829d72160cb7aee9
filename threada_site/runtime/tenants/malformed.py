"""Refusal of exports whose contents no instance writes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from django.db import OperationalError
from psycopg_pool import PoolTimeout

from telemetry.log.key_file import KeyFileProblem
from threada_site.kernel.errors import ThreadaError
from threada_site.runtime.backup.archive import BackupDamaged
from threada_site.runtime.backup.recovery_key import RecoveryKeyProblem

_OTHER: Final = (
    BackupDamaged,
    KeyFileProblem,
    OperationalError,
    OSError,
    PoolTimeout,
    RecoveryKeyProblem,
    ThreadaError,
)
"""Errors with sentences of their own."""
_MOST_QUOTED: Final = 200


@contextmanager
def refused_as_damaged(path: Path) -> Iterator[None]:
    """Turn every other error of the block into `BackupDamaged`: the signer of an export may sign anything."""
    try:
        yield
    except _OTHER:
        raise
    except Exception as error:
        said = " ".join(str(error).split())[:_MOST_QUOTED]
        raise BackupDamaged(
            f"{path} has contents that no instance writes, so nothing is imported ({type(error).__name__}: {said})."
        ) from error
