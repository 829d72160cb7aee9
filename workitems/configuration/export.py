"""Export of the configuration in force to a folder, one document per file. Applying the export changes nothing."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

from policies import selectors
from policies.documents.workflow import normalized_workflow
from threada_site.database.unit_of_work import require_unit_of_work
from threada_site.kernel.context import ActingContext
from threada_site.kernel.documents.writer import write_document
from threada_site.kernel.errors import InvalidRequest
from threada_site.kernel.json.canonical import canonical_sha256
from threada_site.tenancy.versioned_documents import DocumentSource, says
from workitems.configuration.apply import document_files
from workitems.configuration.kinds import Stored, in_force

_FOLDERS: Final = {"Policy": "policies", "Retention": "retention"}
_NAMED: Final = 10
_TEXTS_TRIED: Final = 20


@dataclass(frozen=True, slots=True)
class Exported:
    """Paths of files relative to the folder. `removed` are files whose documents were not in force."""

    written: list[Path]
    unchanged: list[Path]
    removed: list[Path]


def configuration_files(ctx: ActingContext) -> dict[Path, str]:
    """Return the configuration in force as file contents by path, for example `policies/payments.yaml`.

    Secrets are contained by reference only. Unchanged documents of a pack are contained in the pack only.
    """
    require_unit_of_work(ctx.tenant_id)
    written = _written(ctx)
    packed = {(row.kind, row.name): row.document_sha256 for row in selectors.pack_members(ctx)}
    return {
        _path(kind, stored): _text(kind, stored, written.get((kind, stored.name), []))
        for kind, stored in in_force(ctx)
        if packed.get((kind, stored.name)) != canonical_sha256(stored.document)
    }


def _written(ctx: ActingContext) -> dict[tuple[str, str], list[str]]:
    """Return the stored texts of each document, newest first."""
    found: dict[tuple[str, str], list[str]] = {}
    rows = DocumentSource.objects.filter(tenant_id=ctx.tenant_id).order_by("-updated_at", "-id")
    for kind, name, text in rows.values_list("kind", "name", "text"):
        found.setdefault((kind, name), []).append(text)
    return found


def _text(kind: str, stored: Stored, written: list[str]) -> str:
    """Return the text of a document as it was written, if it still says the same; otherwise a generated one."""
    spec = stored.document.get("spec", {})
    normalized = partial(normalized_workflow, stored=spec) if kind == "Workflow" else _unchanged
    same = (text for text in written[:_TEXTS_TRIED] if says(text, stored.document, normalized=normalized))
    return next(same, "") or write_document(stored.document)


def _unchanged(value: Any) -> Any:
    return value


def write_configuration(files: dict[Path, str], folder: Path, *, prune: bool = False) -> Exported:
    """Write `files` below `folder`. `prune` removes other documents there.

    Without `prune`, raise `InvalidRequest` if the folder contains other documents, and write nothing. Files outside
    of `folder` are not changed.
    """
    others = [file.relative_to(folder) for file in document_files(folder) if file.relative_to(folder) not in files]
    if others and not prune:
        raise InvalidRequest(
            f"{len(others)} files below {folder} contain other documents: {_few(others)}. "
            "Choose an empty folder, or remove them with --prune."
        )
    written: list[Path] = []
    unchanged: list[Path] = []
    for path, text in files.items():
        target = folder / path
        if target.is_file() and target.read_bytes() == text.encode():
            unchanged.append(path)
            continue
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text, encoding="utf-8", newline="\n")
        written.append(path)
    for path in others:
        (folder / path).unlink()
    return Exported(written, unchanged, others)


def _path(kind: str, stored: Stored) -> Path:
    """Return the path of a document. Overlay names contain dots (`payments.on.workflow.pay`); slugs cannot."""
    name = stored.name.replace(" ", ".")
    return Path(_FOLDERS.get(kind, f"{kind.lower()}s")) / f"{name}.yaml"


def _few(paths: Collection[Path]) -> str:
    named = ", ".join(str(path) for path in sorted(paths)[:_NAMED])
    return named + (f" and {len(paths) - _NAMED} more" if len(paths) > _NAMED else "")
