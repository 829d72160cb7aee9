"""The log of an imported tenant: the imported leaves continue under the name and key of this instance."""

from __future__ import annotations

import re
import uuid

from telemetry.log.signed_tree_heads import check_tree, sign_tree_head
from telemetry.models import Checkpoint, SealQueueEntry
from telemetry.sealing.admission import complete_until
from telemetry.selectors import log_nodes, log_size, newest_checkpoint
from telemetry.tlog.checkpoint import log_origin, origin_after_break, times_restored
from threada_site.kernel import clock, ids
from threada_site.runtime.backup.archive import BackupDamaged
from threada_site.runtime.sealer.process import sealing_anchor, sealing_key_file


def sign_first_checkpoint(tenant_id: uuid.UUID, *, before: str, queued: int) -> Checkpoint:
    """Sign the imported log under an origin of this instance, and record that in the anchor.

    `before`: the origin in the export. `queued`: number of its receipts that were not sealed yet. They are sealed next,
    and no process of this instance has signed them. A log that this instance signed earlier gets a new origin, because
    two heads of one origin must extend each other. Raise `KeyFileProblem` without a sealing key, and `BackupDamaged` if
    an imported checkpoint would be newer than the signed one.
    """
    tenant = ids.public_id(ids.TENANT, tenant_id)
    newest = newest_checkpoint(tenant_id)
    if newest is not None and newest.id >= ids.new_uuid():
        raise BackupDamaged("The newest checkpoint of the export is dated in the future. Compare the clocks.")
    keys, anchor = sealing_key_file().keys(), sealing_anchor()
    own = log_origin(keys[-1].name, tenant)
    kept = anchor.last(tenant)
    known = [before, kept.origin] if kept else [before]
    earlier = [origin for origin in known if _instance(origin) == _instance(own)]
    origin = origin_after_break(max(earlier, key=times_restored)) if earlier else own
    tree = check_tree(None, size=log_size(tenant_id), read=log_nodes(tenant_id))
    at = clock.now()
    oldest = SealQueueEntry.objects.filter(tenant_id=tenant_id).order_by("id").values_list("id", flat=True).first()
    until = complete_until(at=at, oldest_queued=ids.instant_of(oldest) if oldest else None, before=None)
    signed_from = tree.size + queued
    head = sign_tree_head(tree, origin=origin, keys=keys, at=at, complete_until=until, signed_from=signed_from)
    checkpoint = Checkpoint.objects.create(
        tenant_id=tenant_id,
        size=head.size,
        root=head.root,
        note=head.note,
        verifier_keys=head.verifier_keys,
        signed_at=at,
    )
    anchor.append_checkpoint(tenant, head.note, at=at)
    return checkpoint


def _instance(origin: str) -> str:
    """Return the instance of an origin, without its breaks."""
    return re.sub(r"/restored-[0-9]+$", "", origin.rpartition("/")[0])
