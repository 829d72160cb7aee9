"""The log of an imported tenant: the imported leaves continue under the name and key of this instance."""

from __future__ import annotations

import re
import uuid

from django.db import connection

from telemetry.log.signed_tree_heads import check_tree, sign_tree_head
from telemetry.log.store import LogStore
from telemetry.models import Checkpoint, Receipt, SealQueueEntry
from telemetry.receipts.signature import ReceiptKeys, SignedBody, origins_of
from telemetry.sealing.admission import Admission, complete_until
from telemetry.selectors import log_nodes, log_size, newest_checkpoint
from telemetry.tlog.checkpoint import Checkpoint as Head
from telemetry.tlog.checkpoint import log_origin, origin_after_break, times_restored
from telemetry.tlog.hashing import leaf_hash
from threada_site.database.roles import platform_role
from threada_site.kernel import clock, ids
from threada_site.runtime.backup.archive import BackupDamaged
from threada_site.runtime.sealer.process import sealing_anchor, sealing_key_file


def seal_imported_queue(tenant_id: uuid.UUID, *, newest: Head, keys: ReceiptKeys) -> int:
    """Append the receipts that the other instance had not sealed yet to the imported log. Return the size of the log.

    `newest`: the newest checkpoint of the export. `keys`: public keys of receipts that it brings. What the sealer of
    the other instance would have refused stays in the queue, and that of this instance refuses it.
    """
    with platform_role(), connection.cursor():
        store = LogStore(connection.connection)
        tree = check_tree(None, size=log_size(tenant_id), read=log_nodes(tenant_id))
        # An export of a version that did not sign has no signature at all.
        signs = Receipt.objects.filter(tenant_id=tenant_id).exclude(signature="").exists()
        signed_from = newest.signed_from if signs else None
        admission = Admission(tenant_id, clock.now(), newest.complete_until, signed_from=signed_from)
        queued = store.queued(tenant_id, limit=SealQueueEntry.objects.filter(tenant_id=tenant_id).count())
        bodies = [SignedBody(bytes(one.body or b""), one.signature) for one in queued]
        origins = origins_of(bodies, tenant=ids.public_id(ids.TENANT, tenant_id), keys=keys)
        states = {one.id: origin.state for one, origin in zip(queued, origins, strict=True)}
        reasons = admission.reasons(queued, states, size=tree.size)
        leaves = [(one.id, leaf_hash(bytes(one.body))) for one in queued if one.body and not reasons[one.id]]
        store.dequeue(tenant_id, [receipt_id for receipt_id, _ in leaves])
        store.append(tenant_id, leaves, size=tree.size)
        store.store_nodes(tenant_id, [node for _, value in leaves for node in tree.append(value)])
    return tree.size


def sign_first_checkpoint(tenant_id: uuid.UUID, *, before: str) -> Checkpoint:
    """Sign the imported log under an origin of this instance, and record that in the anchor.

    `before`: the origin in the export. A log that this instance signed earlier gets a new origin, because two heads of
    one origin must extend each other. Raise `KeyFileProblem` without a sealing key, and `BackupDamaged` if an imported
    checkpoint would be newer than the signed one.
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
    head = sign_tree_head(tree, origin=origin, keys=keys, at=at, complete_until=until, signed_from=tree.size)
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
