"""Writing the configuration in force back into a folder, one document a file, so that applying it changes nothing."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from policies import selectors
from threada_site.database.unit_of_work import require_unit_of_work
from threada_site.kernel.context import ActingContext
from threada_site.kernel.documents.writer import write_document
from threada_site.kernel.errors import InvalidRequest
from threada_site.kernel.json.canonical import canonical_sha256
from workitems.configuration.apply import document_files
from workitems.configuration.kinds import Stored, in_force

_FOLDERS: Final = {"Policy": "policies", "Retention": "retention"}
_NAMED: Final = 10


@dataclass(frozen=True, slots=True)
class Exported:
    """Files by their paths below the folder. `removed` said what is not in force, and are gone."""

    written: list[Path]
    unchanged: list[Path]
    removed: list[Path]


def configuration_files(ctx: ActingContext) -> dict[Path, str]:
    """Everything in force, as the text of files: `policies/payments.yaml`. Secrets are contained by reference only.

    Unchanged documents of a pack are contained in the pack only.
    """
    require_unit_of_work(ctx.tenant_id)
    packed = {(row.kind, row.name): row.document_sha256 for row in selectors.pack_members(ctx)}
    return {
        _path(kind, stored): write_document(stored.document)
        for kind, stored in in_force(ctx)
        if packed.get((kind, stored.name)) != canonical_sha256(stored.document)
    }


def write_configuration(files: dict[Path, str], folder: Path, *, prune: bool = False) -> Exported:
    """Write `files` below `folder`. Other files there that hold documents would say more than is in force: with `prune`
    they are removed, otherwise nothing is written and `InvalidRequest` names them. No file elsewhere is touched."""
    others = [file.relative_to(folder) for file in document_files(folder) if file.relative_to(folder) not in files]
    if others and not prune:
        raise InvalidRequest(
            f"{len(others)} files below {folder} hold documents that are not written by this: {_few(others)}. Applied "
            "with them, the folder would say something else. Choose an empty folder, or --prune to remove them."
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
    """Names are slugs, but for overlays: `payments.on.workflow.payment_run`, which no slug can be."""
    name = stored.name.replace(" ", ".")
    return Path(_FOLDERS.get(kind, f"{kind.lower()}s")) / f"{name}.yaml"


def _few(paths: Collection[Path]) -> str:
    named = ", ".join(str(path) for path in sorted(paths)[:_NAMED])
    return named + (f" and {len(paths) - _NAMED} more" if len(paths) > _NAMED else "")
