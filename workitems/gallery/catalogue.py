"""Packs of the gallery, read from `packs/*.yaml`.

The first document of a file describes the pack: `{id, name, version, about, workflow, samples}`. A sample is a request
of the workflow: a title, the expected `outcome` and a payload. The documents of `kind: Role` are roles that the pack
needs; all others are the contents of the pack.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Final, Literal

from threada_site.kernel.documents.reader import Document, load_documents
from threada_site.kernel.documents.writer import write_document
from threada_site.kernel.errors import NotFound

FOLDER: Final = Path(__file__).parent / "packs"

type ExpectedOutcome = Literal["allow", "review", "require_approval", "deny"]


@dataclass(frozen=True, slots=True)
class Sample:
    """A sample request. `outcome` is the effect of the policies that decides about it."""

    title: str
    outcome: ExpectedOutcome
    payload: Mapping[str, Any]
    confidence: float


@dataclass(frozen=True, slots=True)
class GalleryPack:
    """A pack of the gallery. `contents` and `roles` are documents as JSON values."""

    id: str
    name: str
    version: str
    about: str
    workflow: str
    samples: tuple[Sample, ...]
    roles: tuple[Mapping[str, Any], ...]
    contents: tuple[Mapping[str, Any], ...]

    @property
    def document(self) -> dict[str, Any]:
        """Return the document of `kind: Pack`."""
        spec = {"name": self.name, "version": self.version, "documents": [dict(value) for value in self.contents]}
        return {"kind": "Pack", "id": self.id, "spec": spec}

    @property
    def payload_schema(self) -> Mapping[str, Any]:
        """Return the JSON Schema of the payload of its requests."""
        return self._spec("Workflow", self.workflow)["payload_schema"]  # type: ignore[no-any-return]

    @property
    def request(self) -> Mapping[str, str]:
        """Return the channel, the integration and the action of its requests."""
        return self._spec("Workflow", self.workflow)["request"]  # type: ignore[no-any-return]

    @property
    def integration(self) -> str:
        return self.request["integration"]

    @property
    def rules(self) -> list[Mapping[str, Any]]:
        """Return the rules of its policies, in order."""
        policies = [value["spec"] for value in self.contents if value["kind"] == "Policy"]
        return [rule for spec in policies for rule in spec["rules"]]

    @property
    def is_simulated(self) -> bool:
        return self._spec("Integration", self.integration)["connector"] == "mock"  # type: ignore[no-any-return]

    def _spec(self, kind: str, name: str) -> Mapping[str, Any]:
        return next(value["spec"] for value in self.contents if (value["kind"], value.get("id")) == (kind, name))


@lru_cache(maxsize=1)
def gallery() -> tuple[GalleryPack, ...]:
    """Return all packs of the gallery, ordered by name."""
    return tuple(sorted((_read(file) for file in FOLDER.glob("*.yaml")), key=lambda pack: pack.name))


def gallery_pack(pack_id: str) -> GalleryPack:
    """Return the pack with this id. Raise `NotFound`."""
    for pack in gallery():
        if pack.id == pack_id:
            return pack
    raise NotFound(f"There is no pack {pack_id[:63]!r} in the gallery.")


def as_documents(pack: GalleryPack, *, without_roles: frozenset[str] = frozenset()) -> list[Document]:
    """Return the documents of a pack as `apply` takes them: roles except those in `without_roles`, and the pack."""
    roles = [dict(role) for role in pack.roles if role["id"] not in without_roles]
    return [
        document
        for value in (*roles, pack.document)
        for document in load_documents(write_document(value), source=f"gallery/{pack.id}.yaml")
    ]


def _read(file: Path) -> GalleryPack:
    head, *values = [document.value for document in load_documents(file.read_text("utf-8"), source=file.name)]
    return GalleryPack(
        id=head["id"],
        name=head["name"],
        version=head["version"],
        about=head["about"],
        workflow=head["workflow"],
        samples=tuple(
            Sample(
                title=sample["title"],
                outcome=sample["outcome"],
                payload=sample["payload"],
                confidence=sample.get("confidence", 1.0),
            )
            for sample in head["samples"]
        ),
        roles=tuple(value for value in values if value["kind"] == "Role"),
        contents=tuple(value for value in values if value["kind"] != "Role"),
    )
