"""Archives on other machines: any target that fsspec supports (`s3://`, `sftp://`, `ftp://`, `smb://` …).

The operator configures the address and its options. Passwords and option values are never shown: `Target.shown` is
the address without them, and messages of the file system are redacted.

If a target can rename atomically, a file is written under a temporary name, read back, and renamed. Otherwise (object
stores, where an object appears complete) it is written under its own name and read back. The manifest is written last
and marks a complete batch.
"""

from __future__ import annotations

import hashlib
import json
import secrets
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final
from urllib.parse import SplitResult, unquote, urlsplit

from threada_site.kernel import errors
from threada_site.kernel.extras import missing_extra
from workitems.retention.archive import ArchivedFile

RENAMING: Final = frozenset({"ftp", "sftp", "ssh", "smb", "hdfs", "arrow_hdfs", "webdav"})
"""Protocols whose file systems rename atomically; for all others fsspec copies and deletes."""
KEEPING_NOTHING: Final = frozenset(
    {"memory", "data", "http", "https", "cached", "blockcache", "filecache", "simplecache"}
)
OF_THIS_MACHINE: Final = frozenset({"file", "local"})
"""Protocols that fsspec resolves relative to the working directory of the process."""
_USUAL: Final[dict[str, dict[str, Any]]] = {"ftp": {"block_size": 1 << 23, "timeout": 60}}
_SHORTEST_SECRET: Final = 4
_MOST_SAID: Final = 200


class Target:
    """One archive address. The constructor opens no connection."""

    def __init__(self, url: str, options_file: str = "") -> None:
        """Parse the address and the options. Raise `ArchiveUnavailable` if they are invalid."""
        self._url = url
        parts = _parts(url)
        self.protocol = parts.scheme
        place = parts.netloc.rpartition("@")[2]
        self.shown = f"{parts.scheme}://{place}{parts.path}".rstrip("/")
        if problem := _problem(url, self.protocol):
            raise errors.ArchiveUnavailable(f"THREADA_ARCHIVE_URL ({self.shown[:100]}) {problem}. Nothing was removed.")
        self._options = _options(options_file)
        held = [text for text in (parts.password, parts.username) if text]
        self._secrets = sorted(
            {*held, *map(unquote, held), *_texts(self._options)} - set(place.split(":")), key=len, reverse=True
        )

    def send(self, files: Sequence[tuple[Path, ArchivedFile]], *, folder: str, scratch: Path) -> None:
        """Copy files to `folder` on the target in this order; each is read back before the next one is sent.

        `scratch` is a local folder. Raise `ArchiveUnavailable`; no manifest names the files sent before the failure.
        """
        with self._redacted_errors():
            system, root = self._open()
            place = "/".join(part for part in (root.rstrip("/"), folder) if part)
            system.makedirs(place, exist_ok=True)
            for local, file in files:
                self._put(system, local, f"{place}/{file.name}", file, scratch)

    def _put(self, system: Any, local: Path, final: str, file: ArchivedFile, scratch: Path) -> None:
        """Send one file. Skip a complete file that is there already: file names contain digests of the contents."""
        system.invalidate_cache()
        if system.exists(final):
            with suppress(OSError):
                _verify(system, final, file, scratch)
                return
            system.rm_file(final)
        folder, _, name = final.rpartition("/")
        written = f"{folder}/.{name}.{secrets.token_hex(4)}.partial" if self.protocol in RENAMING else final
        try:
            system.put_file(str(local), written)
            system.invalidate_cache()
            _verify(system, written, file, scratch)
            if written != final:
                system.mv(written, final)
                system.invalidate_cache()
                if int(system.info(final)["size"]) != file.size:
                    raise OSError(f"{file.name} is not {file.size} bytes long after it was renamed")
        except BaseException:
            with suppress(Exception):
                system.rm_file(written)
            raise

    def _open(self) -> tuple[Any, str]:
        if missing := missing_extra("archives"):
            raise errors.ArchiveUnavailable(f"THREADA_ARCHIVE_URL is set, and {missing}. Nothing was removed.")
        from fsspec.core import url_to_fs
        from fsspec.registry import known_implementations

        more = {**_USUAL.get(self.protocol, {}), **self._options}
        try:
            system, root = url_to_fs(self._url, **more, skip_instance_cache=True, use_listings_cache=False)
        except ImportError as error:
            said = known_implementations.get(self.protocol, {}).get("err") or str(error)
            raise errors.ArchiveUnavailable(
                f"The package for {self.protocol} in THREADA_ARCHIVE_URL is not installed: {said}. Nothing was removed."
            ) from None
        return system, str(root)

    @contextmanager
    def _redacted_errors(self) -> Iterator[None]:
        """Convert exceptions of file systems to `ArchiveUnavailable` with a redacted message."""
        try:
            yield
        except errors.ArchiveUnavailable:
            raise
        except Exception as error:  # noqa: BLE001  (each file system has errors of its own)
            words = f"{type(error).__name__}: {error}"
            for secret in self._secrets:
                words = words.replace(secret, "[redacted]")
            raise errors.ArchiveUnavailable(
                f"The archive {self.shown} cannot be used: {' '.join(words.split())[:_MOST_SAID]}. Nothing was removed."
            ) from None


def _verify(system: Any, path: str, file: ArchivedFile, scratch: Path) -> None:
    """Read a file back from the target and compare it. Raise `OSError` and errors of the file system."""
    copy = scratch / "read-back"
    try:
        system.get_file(path, str(copy))
        with copy.open("rb") as stream:
            found = hashlib.file_digest(stream, "sha256").hexdigest()
    finally:
        copy.unlink(missing_ok=True)
    if found != file.sha256:
        raise OSError(f"{file.name} reads back as {found}, not as {file.sha256}")


def _parts(url: str) -> SplitResult:
    try:
        return urlsplit(url)
    except ValueError as error:
        raise errors.ArchiveUnavailable(f"THREADA_ARCHIVE_URL is invalid: {error}. Nothing was removed.") from None


def _problem(url: str, protocol: str) -> str:
    """Return the reason why an address cannot be used; empty if it can."""
    if protocol in OF_THIS_MACHINE:
        return "is not an absolute local path. Write file:/// and the absolute path"
    if not protocol or "::" in url or protocol in KEEPING_NOTHING:
        return "is not an address that stores files"
    return ""


def _options(file: str) -> dict[str, Any]:
    if not file:
        return {}
    try:
        found = json.loads(Path(file).read_bytes())
    except (OSError, ValueError) as error:
        words = error.strerror if isinstance(error, OSError) else "it is not JSON"
        raise errors.ArchiveUnavailable(
            f"THREADA_ARCHIVE_OPTIONS_FILE cannot be read: {words}. Nothing was removed."
        ) from None
    if not isinstance(found, dict):
        raise errors.ArchiveUnavailable(
            "THREADA_ARCHIVE_OPTIONS_FILE does not contain a JSON object. Nothing was removed."
        )
    return found


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        if len(value) >= _SHORTEST_SECRET:
            yield value
    elif isinstance(value, dict | list):
        for inner in value.values() if isinstance(value, dict) else value:
            yield from _texts(inner)
