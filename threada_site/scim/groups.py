"""Groups that a provisioning client adds, changes and deletes. Approval rules use them like other groups."""

from __future__ import annotations

import re
import unicodedata
import uuid
from typing import Any, Final

from django.db import IntegrityError, transaction
from scim2_models import (
    InvalidValueException,
    NotFoundException,
    PreconditionFailedException,
    UniquenessException,
)

from policies.configuration.removal import check_nobody_asks
from telemetry.receipts.format import Entry
from telemetry.receipts.record import record
from threada_site.identity.grants.grant_records import end_grants
from threada_site.identity.providers.provisioned import maps_group, sync_provisioned_roles
from threada_site.kernel import clock, ids
from threada_site.scim.authority import Client
from threada_site.scim.documents import column_text, etag, user_key
from threada_site.scim.memberships import write_members
from threada_site.tenancy.authority_models import GrantKind
from threada_site.tenancy.directory.provisioning_models import SOURCE
from threada_site.tenancy.models import PeopleGroup, ProvisionedGroup, ProvisionedGroupMember, ProvisionedPerson
from threada_site.tenancy.quotas.kinds import Quota
from threada_site.tenancy.quotas.require import require_quota

MOST_MEMBERS: Final = 10_000
"""People in one group."""
MOST_CHANGED: Final = 1_000
"""People whom one request adds to a group or takes out of it."""
_CHANGED: Final = ("display_name", "display_name_key", "named_at", "external_id", "version", "modified_at")
_TAKEN: Final = "A group with this externalId exists in this tenant."
_MOST_SLUG: Final = 55


def create_group(resource: Any, *, client: Client) -> ProvisionedGroup:
    """Add a group of the tenant with these people.

    Its slug is made from the name, and never changes. It is bound to no role: a person does that (`unbound_groups`).
    Receipt `provisioning.group_added`. Raise `UniquenessException`
    for an external id that is taken, `InvalidValueException` for a person that does not exist, `QuotaExceeded`.
    """
    ctx = client.ctx
    require_quota(Quota.PROVISIONED_GROUPS, ctx=ctx)
    row = ProvisionedGroup(tenant_id=ctx.tenant_id, version=0)
    _fill(row, resource)
    row.group = PeopleGroup.objects.create(
        tenant_id=ctx.tenant_id,
        slug=_free_slug(row.display_name, ctx.tenant_id),
        name=row.display_name[:200],
        source=SOURCE,
    )
    row.modified_at = row.created_at
    _save(row, is_new=True)
    people = _people(resource, client=client)
    _change(row, joining=people, leaving=[], client=client)
    members = sorted(person.user_public_id for person in people)
    record(_entry("provisioning.group_added", row, {"added": members}), ctx=ctx)
    if maps_group(row.display_name, tenant_id=ctx.tenant_id):
        sync_provisioned_roles(people, by=client.sole_author, ctx=client.confirming)
    return row


def update_group(row: ProvisionedGroup, resource: Any, *, expected: str | None, client: Client) -> ProvisionedGroup:
    """Give a group name and people of `resource`. Open decisions use the new people immediately.

    Receipt `provisioning.group_changed` with who joined and left. Raise `PreconditionFailedException` for another
    version, `UniquenessException`, `InvalidValueException`.
    """
    ctx = client.ctx
    row = _locked(row.id, expected=expected, client=client)
    before = {person.id: person for person in people_of(row)}
    after = {person.id: person for person in _people(resource, client=client, known=before)}
    joining = [person for person_id, person in after.items() if person_id not in before]
    leaving = [person for person_id, person in before.items() if person_id not in after]
    if len(joining) + len(leaving) > MOST_CHANGED:
        raise InvalidValueException(detail=f"One request changes at most {MOST_CHANGED} members of a group.")
    old_name = row.display_name
    _fill(row, resource)
    _save(row)
    if row.group.name != row.display_name[:200]:
        row.group.name = row.display_name[:200]
        row.group.save(update_fields=["name"])
    _change(row, joining=joining, leaving=leaving, client=client)
    outcome = {
        "added": sorted(person.user_public_id for person in joining),
        "removed": sorted(person.user_public_id for person in leaving),
        "renamed": old_name != row.display_name,
    }
    record(_entry("provisioning.group_changed", row, outcome), ctx=ctx)
    if any(maps_group(name, tenant_id=ctx.tenant_id) for name in {old_name, row.display_name}):
        affected = [*joining, *leaving] if old_name == row.display_name else [*after.values(), *leaving]
        sync_provisioned_roles(affected, by=client.sole_author, ctx=client.confirming)
    return row


def delete_group(row: ProvisionedGroup, *, expected: str | None, client: Client) -> None:
    """Delete a group. Receipt `provisioning.group_deleted`. Raise `InUse` while a policy uses it."""
    ctx = client.ctx
    row = _locked(row.id, expected=expected, client=client)
    check_nobody_asks("group", row.group.slug, ctx=ctx)
    people = people_of(row)
    entry = _entry("provisioning.group_deleted", row, {"removed": sorted(p.user_public_id for p in people)})
    is_mapped = maps_group(row.display_name, tenant_id=ctx.tenant_id)
    row.group.delete()
    end_grants(None, GrantKind.GROUP, row.group.slug, ctx=ctx)
    record(entry, ctx=ctx)
    if is_mapped:
        sync_provisioned_roles(people, by=client.sole_author, ctx=client.confirming)


def people_of(row: ProvisionedGroup) -> list[ProvisionedPerson]:
    """Return the people in a group, by id."""
    rows = ProvisionedPerson.objects.filter(tenant_id=row.tenant_id, groups__group=row)
    return list(rows.select_related("user").order_by("id"))


def _locked(group_id: uuid.UUID, *, expected: str | None, client: Client) -> ProvisionedGroup:
    rows = ProvisionedGroup.objects.select_for_update(of=("self",)).select_related("group")
    row = rows.filter(tenant_id=client.ctx.tenant_id, id=group_id).first()
    if row is None:
        raise NotFoundException
    if expected is not None and etag(row.version) != expected:
        raise PreconditionFailedException
    return row


def _people(
    resource: Any, *, client: Client, known: dict[uuid.UUID, ProvisionedPerson] | None = None
) -> list[ProvisionedPerson]:
    """Return the people whom `resource` names, without duplicates. Those of `known` need not exist any more."""
    names = list(dict.fromkeys(str(member.value or "") for member in resource.members or []))
    if len(names) > MOST_MEMBERS:
        raise InvalidValueException(detail=f"A group has at most {MOST_MEMBERS} members.")
    wanted = {ids.parse_public_id(ids.PRINCIPAL, name): name for name in names}
    present = {person.user_id: person for person in (known or {}).values()}
    missing = [user_id for user_id in wanted if user_id is not None and user_id not in present]
    if known is None and len(missing) > MOST_CHANGED:
        raise InvalidValueException(detail=f"One request adds at most {MOST_CHANGED} members to a group.")
    rows = ProvisionedPerson.objects.filter(tenant_id=client.ctx.tenant_id, user_id__in=missing, deleted_at=None)
    present |= {person.user_id: person for person in rows.select_related("user")}
    strangers = [name for user_id, name in wanted.items() if user_id not in present]
    if strangers:
        raise InvalidValueException(detail=f"There is no User {strangers[0][:64]!r}. Groups contain Users only.")
    return [present[user_id] for user_id in wanted if user_id is not None]


def _change(
    row: ProvisionedGroup, *, joining: list[ProvisionedPerson], leaving: list[ProvisionedPerson], client: Client
) -> None:
    tenant_id = client.ctx.tenant_id
    ProvisionedGroupMember.objects.filter(tenant_id=tenant_id, group=row, person__in=leaving).delete()
    ProvisionedGroupMember.objects.bulk_create(
        ProvisionedGroupMember(tenant_id=tenant_id, group=row, person=person) for person in joining
    )
    write_members(row, joining=joining, leaving=leaving, client=client)


def _fill(row: ProvisionedGroup, resource: Any) -> None:
    name = column_text(resource.display_name, "displayName")
    if name != row.display_name:
        row.named_at = clock.now()
    row.display_name = name
    row.display_name_key = user_key(row.display_name)
    row.external_id = column_text(resource.external_id, "externalId")
    row.modified_at = clock.now()
    row.version += 1
    if not row.display_name:
        raise InvalidValueException(detail="displayName is empty.")


def _save(row: ProvisionedGroup, *, is_new: bool = False) -> None:
    try:
        with transaction.atomic():
            row.save(**{"force_insert": True} if is_new else {"update_fields": _CHANGED})
    except IntegrityError:
        raise UniquenessException(detail=_TAKEN) from None


def _free_slug(name: str, tenant_id: uuid.UUID) -> str:
    """Return a slug made from a name, with a number if it is taken. Groups that people made are never taken over."""
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode().lower()
    base = re.sub(r"[^a-z0-9]+", "-", plain).strip("-")[:_MOST_SLUG] or "group"
    taken = set(PeopleGroup.objects.filter(tenant_id=tenant_id, slug__startswith=base).values_list("slug", flat=True))
    return next(slug for slug in (base, *(f"{base}-{number}" for number in range(2, 1_000_000))) if slug not in taken)


def _entry(kind: str, row: ProvisionedGroup, outcome: dict[str, Any]) -> Entry:
    inputs = {"group": row.group.slug, "group_id": row.public_id, "version": row.version}
    return Entry(kind=kind, inputs=inputs, outcome=outcome)
