"""Groups of people for approval rules. A group gives no permissions."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from telemetry.receipts.format import Entry
from telemetry.receipts.record import record
from threada_site.database.unit_of_work import require_unit_of_work
from threada_site.identity.grant_records import end_grants, record_grants
from threada_site.identity.slugs import require_slug
from threada_site.identity.stewardship import require_steward
from threada_site.kernel import errors
from threada_site.kernel.context import ActingContext
from threada_site.kernel.errors import FieldError
from threada_site.tenancy.authority_models import GrantKind
from threada_site.tenancy.models import Membership, PeopleGroup, PeopleGroupMember
from threada_site.tenancy.upsert import Change, UpsertResult

MOST_MEMBERS: Final = 10_000
_MOST_PROBLEMS: Final = 50


def define_group(
    slug: str, members: Iterable[str], *, name: str | None = None, ctx: ActingContext
) -> UpsertResult[PeopleGroup]:
    """Create the group `slug` or set its members. Without `name` the label is unchanged.

    Open decisions use the new members immediately. Receipt `group.defined`, unless nothing changes. Raise
    `InvalidRequest` with a pointer `/members/<n>` for each name that is not a member of the tenant.
    """
    require_unit_of_work(ctx.tenant_id)
    require_steward(ctx)
    require_slug(slug, naming="group")
    wanted = _memberships(list(members), ctx=ctx)
    group, is_new = PeopleGroup.objects.get_or_create(tenant_id=ctx.tenant_id, slug=slug)
    PeopleGroup.objects.select_for_update().get(tenant_id=ctx.tenant_id, id=group.id)
    of_group = PeopleGroupMember.objects.filter(tenant_id=ctx.tenant_id, group=group)
    current = set(of_group.values_list("membership_id", flat=True))
    asked = {membership.id for membership in wanted}
    is_renamed = name is not None and name != group.name
    if not is_new and current == asked and not is_renamed:
        return UpsertResult(group, Change.UNCHANGED)
    if name is not None and is_renamed:
        group.name = name
        group.save(update_fields=["name"])
    leaving = of_group.filter(membership_id__in=current - asked)
    end_grants(list(leaving.values_list("membership__user_id", flat=True)), GrantKind.GROUP, slug, ctx=ctx)
    leaving.delete()
    PeopleGroupMember.objects.bulk_create(
        PeopleGroupMember(tenant_id=ctx.tenant_id, group=group, membership=membership)
        for membership in wanted
        if membership.id not in current
    )
    joining = [membership.user_id for membership in wanted if membership.id not in current]
    record_grants(joining, GrantKind.GROUP, slug, ctx=ctx)
    inputs = {"group": slug, "members": sorted(membership.user.public_id for membership in wanted)}
    record(Entry(kind="group.defined", inputs=inputs), ctx=ctx)
    return UpsertResult(group, Change.CREATED if is_new else Change.CHANGED)


def remove_group(slug: str, *, ctx: ActingContext) -> None:
    """Remove a group. The caller checks that no policy uses it. Receipt `group.removed`."""
    require_unit_of_work(ctx.tenant_id)
    require_steward(ctx)
    removed, _ = PeopleGroup.objects.filter(tenant_id=ctx.tenant_id, slug=slug).delete()
    if not removed:
        raise errors.NotFound
    end_grants(None, GrantKind.GROUP, slug, ctx=ctx)
    record(Entry(kind="group.removed", inputs={"group": slug}), ctx=ctx)


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
