"""Lock that one `up` holds on its data directory. Released by the kernel when the process ends. Imports no Django."""

from __future__ import annotations

import contextlib
import fcntl
import os
from pathlib import Path


class DataDirectoryInUseError(Exception):
    """Another `up` holds the lock. `address`: where that one listens; empty if it did not say."""

    def __init__(self, address: str) -> None:
        super().__init__(address)
        self.address = address


def lock_data_directory(data_dir: Path, *, address: str) -> int:
    """Lock the data directory and return the descriptor that holds the lock. Raise `DataDirectoryInUseError`.

    `address`: recorded for the message of others. A full disk does not prevent the lock.
    """
    data_dir.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(data_dir / "up.lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        recorded = os.pread(descriptor, 200, 0).decode(errors="replace").strip()
        os.close(descriptor)
        raise DataDirectoryInUseError(recorded) from None
    with contextlib.suppress(OSError):
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{address}\n".encode(), 0)
    return descriptor
