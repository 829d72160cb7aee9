"""Content of the console pages of the instance log. Loaded only if one is kept."""

from __future__ import annotations

from typing import Any, Final

from django.http import Http404

from telemetry import selectors
from telemetry.admin.checkpoints import root_of
from telemetry.log.rows import LogIncomplete
from telemetry.models import Checkpoint
from telemetry.tlog import proof_text
from threada_site.kernel import ids
from threada_site.kernel.context import ActingContext

MOST_CHECKPOINTS: Final = 20


def instance_page(ctx: ActingContext) -> dict[str, Any]:
    """Return the template context of the instance log page for one tenant."""
    checkpoints = list(selectors.instance_checkpoints().order_by("-id")[:MOST_CHECKPOINTS])
    try:
        found, holes = selectors.instance_proof(ctx.tenant_id), ""
    except LogIncomplete as error:
        found, holes = None, str(error)
    checkpoint = found.checkpoint if found else checkpoints[0] if checkpoints else None
    return {
        "checkpoint": checkpoint,
        "root": root_of(checkpoint) if checkpoint else "",
        "entry": found.entry if found else None,
        "entry_id": ids.public_id(ids.CHECKPOINT, found.entry.checkpoint_id) if found else "",
        "checkpoints": [(each, root_of(each)) for each in checkpoints],
        "holes": holes,
    }


def entry_of(checkpoint: Checkpoint) -> dict[str, Any]:
    """Return the template context of a tenant's checkpoint: its entry in the instance log."""
    return {"entry": selectors.instance_entry_of(checkpoint)}


def newest_checkpoint() -> tuple[str, str]:
    """Return text and file name of the newest checkpoint of the instance log. Raise `Http404` if there is none."""
    checkpoint = selectors.instance_checkpoints().order_by("-id").first()
    if checkpoint is None:
        raise Http404("The instance log is empty.")
    return checkpoint.note, f"instance-{checkpoint.size}.txt"


def newest_proof(ctx: ActingContext) -> tuple[str, str]:
    """Return text and file name of the proof of the tenant's newest entry. Raise `Http404` if there is none."""
    try:
        found = selectors.instance_proof(ctx.tenant_id)
    except LogIncomplete as error:
        raise Http404(f"The proof cannot be built: {error}.") from error
    if found is None:
        raise Http404("No checkpoint of this tenant is in the instance log yet.")
    return str(found.proof), f"{ids.public_id(ids.CHECKPOINT, found.entry.checkpoint_id)}{proof_text.SUFFIX}"
