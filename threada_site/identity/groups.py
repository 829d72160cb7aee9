"""Groups of people for approval rules. A group gives no permissions."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from django.db import connection
from django.db.models import QuerySet

from telemetry.receipts.format import Entry
from telemetry.receipts.record import record
from threada_site.database.unit_of_work import require_unit_of_work
from threada_site.identity.confirmation import require_second_steward
from threada_site.identity.grants.grant_records import end_grants, record_grants
from threada_site.identity.known_as import known_ids
from threada_site.identity.slugs import require_slug
from threada_site.identity.stewardship import require_steward
from threada_site.kernel import errors
from threada_site.kernel.context import ActingContext
from threada_site.kernel.errors import FieldError
from threada_site.tenancy.authority_models import GrantKind
from threada_site.tenancy.models import Membership, PeopleGroup, PeopleGroupMember, User
from threada_site.tenancy.upsert import Change, UpsertResult

MOST_MEMBERS: Final = 10_000
_MOST_PROBLEMS: Final = 50


def lock_group(slug: str, *, ctx: ActingContext) -> None:
    """Let no other transaction define or remove the group, which need not exist, until this one ends."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT pg_advisory_xact_lock(hashtextextended('group ' || %s || ' ' || %s, 0))", [str(ctx.tenant_id), slug]
        )


def define_group(
    slug: str, members: Iterable[str], *, name: str | None = None, ctx: ActingContext
) -> UpsertResult[PeopleGroup]:
    """Create the group `slug` or set its members. Without `name` the label is unchanged.

    Open decisions use the new members immediately. Receipt `group.defined`, unless nothing changes. Raise
    `InvalidRequest` with a pointer `/members/<n>` for each name that is not a member of the tenant,
    `GroupFromProvisioning`, `ConfirmationRequired` where a second steward must confirm it.
    """
    require_unit_of_work(ctx.tenant_id)
    require_steward(ctx)
    require_slug(slug, naming="group")
    wanted = _memberships(list(members), ctx=ctx)
    lock_group(slug, ctx=ctx)
    group = PeopleGroup.objects.select_for_update().filter(tenant_id=ctx.tenant_id, slug=slug).first()
    _check_by_hand(group)
    is_new, of_group = group is None, _members(group, ctx=ctx)
    current = {row.membership_id for row in of_group}
    label = (group.name if group else "") if name is None else name
    if group is not None and current == {membership.id for membership in wanted} and label == group.name:
        return UpsertResult(group, Change.UNCHANGED)
    after = _described(label, (membership.user for membership in wanted), ctx=ctx)
    require_second_steward(
        "define_group",
        f"Set the members of the group {slug}",
        {"group": slug, "members": sorted(after["members"]), "name": label},
        before={slug: _described(group.name, (row.membership.user for row in of_group), ctx=ctx)} if group else None,
        after={slug: after},
        ctx=ctx,
        is_rule_change=True,
    )
    group = group or _created(slug, ctx=ctx)
    if label != group.name:
        group.name = label
        group.save(update_fields=["name"])
    asked = {membership.id for membership in wanted}
    leaving = [row for row in of_group if row.membership_id not in asked]
    joining = [membership for membership in wanted if membership.id not in current]
    _rows(group, ctx=ctx).filter(id__in=[row.id for row in leaving]).delete()
    end_grants([row.membership.user_id for row in leaving], GrantKind.GROUP, slug, ctx=ctx)
    PeopleGroupMember.objects.bulk_create(
        PeopleGroupMember(tenant_id=ctx.tenant_id, group=group, membership=membership) for membership in joining
    )
    record_grants([membership.user_id for membership in joining], GrantKind.GROUP, slug, ctx=ctx)
    named = known_ids([membership.user_id for membership in wanted], tenant_id=ctx.tenant_id)
    inputs = {"group": slug, "members": sorted(named.values())}
    record(Entry(kind="group.defined", inputs=inputs), ctx=ctx)
    return UpsertResult(group, Change.CREATED if is_new else Change.CHANGED)


def remove_group(slug: str, *, ctx: ActingContext) -> None:
    """Remove a group. The caller checks that no policy uses it. Receipt `group.removed`.

    Raise `GroupFromProvisioning`, `ConfirmationRequired` where a second steward must confirm it.
    """
    require_unit_of_work(ctx.tenant_id)
    require_steward(ctx)
    lock_group(slug, ctx=ctx)
    group = PeopleGroup.objects.filter(tenant_id=ctx.tenant_id, slug=slug).first()
    if group is None:
        raise errors.NotFound
    _check_by_hand(group)
    people = (row.membership.user for row in _members(group, ctx=ctx))
    before = {slug: _described(group.name, people, ctx=ctx)}
    require_second_steward(
        "remove_group",
        f"Remove the group {slug}",
        {"group": slug},
        before=before,
        after=None,
        ctx=ctx,
        is_rule_change=True,
    )
    group.delete()
    end_grants(None, GrantKind.GROUP, slug, ctx=ctx)
    record(Entry(kind="group.removed", inputs={"group": slug}), ctx=ctx)


def _created(slug: str, *, ctx: ActingContext) -> PeopleGroup:
    """Return the group `slug` under a lock, also if another transaction creates it at the same time."""
    PeopleGroup.objects.bulk_create([PeopleGroup(tenant_id=ctx.tenant_id, slug=slug)], ignore_conflicts=True)
    return PeopleGroup.objects.select_for_update().get(tenant_id=ctx.tenant_id, slug=slug)


def _check_by_hand(group: PeopleGroup | None) -> None:
    """Raise `GroupFromProvisioning` if a provisioning client maintains the group."""
    if group is not None and group.source:
        raise errors.GroupFromProvisioning(f"A provisioning client maintains the group {group.slug}. Change it there.")


def _rows(group: PeopleGroup, *, ctx: ActingContext) -> QuerySet[PeopleGroupMember]:
    return PeopleGroupMember.objects.filter(tenant_id=ctx.tenant_id, group=group)


def _members(group: PeopleGroup | None, *, ctx: ActingContext) -> list[PeopleGroupMember]:
    return list(_rows(group, ctx=ctx).select_related("membership__user")) if group else []


def _described(name: str, people: Iterable[User], *, ctx: ActingContext) -> dict[str, Any]:
    """Return a group as a change set shows it. Ids tell whether a name still names the same principal."""
    found = {person.username: person.id for person in people}
    named = known_ids(list(found.values()), tenant_id=ctx.tenant_id)
    return {"name": name, "members": {username: named[person] for username, person in found.items()}}


def _memberships(names: list[str], *, ctx: ActingContext) -> list[Membership]:
    """Return the memberships of these principals, without duplicates, ordered by name."""
    if len(names) > MOST_MEMBERS:
        raise errors.InvalidRequest(
            f"A group has at most {MOST_MEMBERS} members.",
            errors=[FieldError("/members", "are too many", "too_large")],
        )
    rows = Membership.objects.select_related("user").filter(tenant_id=ctx.tenant_id, user__username__in=names)
    found = {membership.user.username: membership for membership in rows}
    strangers = [(index, name) for index, name in enumerate(names) if name not in found][:_MOST_PROBLEMS]
    if strangers:
        raise errors.InvalidRequest(
            f"{', '.join(repr(name[:63]) for _, name in strangers)} "
            f"{'does' if len(strangers) == 1 else 'do'} not belong to this tenant. Add them first.",
            errors=[
                FieldError(f"/members/{index}", f"{name[:63]!r} is not a member of this tenant", "not_a_member")
                for index, name in strangers
            ],
        )
    return [found[name] for name in sorted(found)]
