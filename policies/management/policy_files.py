"""Policy documents in files, for commands. Errors contain file, line and column."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from threada_site.kernel.documents.reader import Document, load_documents
from threada_site.kernel.errors import DocumentInvalid, FieldError, ThreadaError

_STANDARD_INPUT = Path("-")


@dataclass(frozen=True, slots=True)
class PolicyFile:
    """One policy document in a file. `prefix` is the pointer of its spec."""

    document: Document

    @property
    def value(self) -> Any:
        return self.document.value

    @property
    def named_id(self) -> str | None:
        name = self.value.get("id") if isinstance(self.value, dict) else None
        return name if isinstance(name, str) else None

    @property
    def prefix(self) -> str:
        return "/spec" if isinstance(self.value, dict) and "spec" in self.value else ""

    @contextmanager
    def located(self, prefix: str = "") -> Iterator[None]:
        """Add the position in the file to errors whose pointers start with `prefix`."""
        try:
            yield
        except ThreadaError as error:
            error.errors = tuple(self.at(entry, prefix) for entry in error.errors)
            raise

    def at(self, entry: FieldError, prefix: str = "") -> FieldError:
        """Return the error with a position in the file instead of a pointer."""
        found = self.document.located(replace(entry, pointer=prefix + entry.pointer))
        return replace(found, pointer=f"{self.document.source}:{found.line}:{found.column}:")


def read_value(path: Path) -> Any:
    """Return the single YAML or JSON value in a file, or in standard input for `-`. Raises `DocumentInvalid`."""
    documents = _documents(path)
    if len(documents) != 1:
        raise DocumentInvalid(f"{path} contains {len(documents)} documents; one is required.")
    return documents[0].value


def read_policy(path: Path, *, policy: str | None = None) -> PolicyFile:
    """Return the policy in a file, which may contain other documents. Raises `DocumentInvalid` unless there is one.

    If `policy` is given, the policy must have that id or be a bare spec.
    """
    documents = _documents(path)
    if len(documents) > 1:
        documents = [
            document
            for document in documents
            if isinstance(document.value, dict)
            and document.value.get("kind") == "Policy"
            and policy in (None, document.value.get("id"))
        ]
    if len(documents) != 1:
        named = f"the policy {policy}" if policy else "a policy"
        raise DocumentInvalid(f"{path} contains {named} {len(documents)} times; exactly one is required.")
    found = PolicyFile(documents[0])
    if policy is not None and found.named_id not in (None, policy):
        raise DocumentInvalid(f"{path} is of the policy {found.named_id}, not of {policy}.")
    return found


def read_overlays(path: Path, *, policy: str) -> list[Any]:
    """Return the overlays of `policy` in a file, as values, and ignore other documents."""
    return [
        document.value
        for document in _documents(path)
        if isinstance(document.value, dict)
        and document.value.get("policy") == policy
        and document.value.get("kind", "Overlay") == "Overlay"
    ]


def _documents(path: Path) -> list[Document]:
    try:
        text = sys.stdin.read() if path == _STANDARD_INPUT else path.read_text(encoding="utf-8")
    except OSError as error:
        raise DocumentInvalid(f"{path} cannot be read: {error.strerror}.") from None
    except UnicodeDecodeError:
        raise DocumentInvalid(f"{path} is not UTF-8.") from None
    return load_documents(text, source=str(path))
