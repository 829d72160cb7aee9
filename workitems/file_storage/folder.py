"""Storage of attachments in a folder: files for the instance only, on disk before an upload is answered."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Final

from django.core.files.storage import FileSystemStorage

from threada_site.kernel.files import is_shared

_OWN: Final = (0o600, 0o700)
_OF_GROUP: Final = (0o640, 0o2770)


class AttachmentFolder(FileSystemStorage):
    """Files have mode 0600, folders 0700. In a folder that a group may write to, the group reads and deletes files."""

    @property
    def file_permissions_mode(self) -> int:  # type: ignore[override]
        return self._modes[0]

    @property
    def directory_permissions_mode(self) -> int:  # type: ignore[override]
        return self._modes[1]

    def _save(self, name: str, content: Any) -> str:
        saved = super()._save(name, content)  # type: ignore[misc]
        path = Path(self.path(saved))
        for place in (path, path.parent):
            handle = os.open(place, os.O_RDONLY)
            try:
                os.fsync(handle)
            finally:
                os.close(handle)
        return str(saved)

    @property
    def _modes(self) -> tuple[int, int]:
        return _OF_GROUP if is_shared(Path(self.location)) else _OWN
