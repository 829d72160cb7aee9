"""Four-eyes rules: one person can turn a rule on; two people are needed to turn it off."""

from __future__ import annotations

from datetime import timedelta
from typing import Final

from telemetry.receipts.format import Entry
from telemetry.receipts.record import record
from threada_site.database.unit_of_work import require_unit_of_work
from threada_site.identity.stewardship import require_steward
from threada_site.kernel import clock, errors
from threada_site.kernel.context import ActingContext
from threada_site.tenancy.credentials.deciding import require_person
from threada_site.tenancy.four_eyes import FOUR_EYES, is_four_eyes_required
from threada_site.tenancy.independence import are_independent, read_controllers, require_known_owner
from threada_site.tenancy.models import FourEyesRule

ASKED_LASTS: Final = timedelta(days=7)
"""Time after which a request to end a rule expires."""


def turn_on_four_eyes(slug: str, *, ctx: ActingContext) -> FourEyesRule:
    """Turn a four-eyes rule on, and cancel a request to end it.

    Nothing happens if it is on already. Receipt `four_eyes.required`. Raise `PermissionDenied` without tenant_admin,
    `OwnerRequired` for an agent or a service without a known owner.
    """
    require_known_owner(ctx)
    rule = _locked(slug, is_turned_on=True, ctx=ctx)
    if rule.is_required and rule.end_asked_by is None:
        return rule
    _save(rule, is_required=True)
    record(_entry("four_eyes.required", rule), ctx=ctx)
    return rule


def keep_four_eyes(slug: str, *, ctx: ActingContext) -> None:
    """Store a rule that is on by default, so that it stays on. Receipt `four_eyes.required`.

    Nothing happens if it is stored. The caller has checked permissions.
    """
    require_unit_of_work(ctx.tenant_id)
    rule, is_new = FourEyesRule.objects.get_or_create(
        tenant_id=ctx.tenant_id, slug=slug, defaults={"is_required": True, "changed_at": clock.now()}
    )
    if is_new:
        record(_entry("four_eyes.required", rule), ctx=ctx)


def end_four_eyes(slug: str, *, ctx: ActingContext) -> FourEyesRule:
    """Request the end of a four-eyes rule, or confirm another person's request within seven days.

    Receipts `four_eyes.end_asked`, then `four_eyes.ended`. Raise `PermissionDenied`, `PersonRequired` (services,
    agents and the instance's operator cannot do this), `SecondPersonRequired` for the person who requested it and for
    people who are not independent of that person.
    """
    rule = _locked(slug, is_turned_on=False, ctx=ctx)
    require_person("Two people must end this, in the console or each with their own token.", ctx=ctx)
    if not rule.is_required:
        return rule
    now = clock.now()
    is_asked = rule.end_asked_at is not None and now - rule.end_asked_at <= ASKED_LASTS
    if not is_asked:
        rule.end_asked_by, rule.end_asked_at = ctx.principal_id, now
        rule.save(update_fields=["end_asked_by", "end_asked_at"])
        record(_entry("four_eyes.end_asked", rule), ctx=ctx)
        return rule
    assert rule.end_asked_by is not None  # noqa: S101 - a constraint of the table
    if rule.end_asked_by == ctx.principal_id:
        raise errors.SecondPersonRequired("You have requested the end. Another tenant administrator must confirm it.")
    controllers = read_controllers(ctx.tenant_id, [rule.end_asked_by, ctx.principal_id])
    if not are_independent(rule.end_asked_by, ctx.principal_id, controllers):
        raise errors.SecondPersonRequired(
            "You are not independent of the person who requested the end: one of you controls the account of the "
            "other, or a third person controls both. An independent tenant administrator must confirm it."
        )
    _save(rule, is_required=False)
    record(_entry("four_eyes.ended", rule), ctx=ctx)
    return rule


def _locked(slug: str, *, is_turned_on: bool, ctx: ActingContext) -> FourEyesRule:
    """Return the rule under a lock. A rule that is off and stays off is not stored: it may be on by default later."""
    require_unit_of_work(ctx.tenant_id)
    require_steward(ctx)
    if slug not in FOUR_EYES:
        raise errors.NotFound
    is_required = is_four_eyes_required(ctx.tenant_id, slug)
    row = FourEyesRule(tenant_id=ctx.tenant_id, slug=slug, is_required=is_required)
    if not (is_required or is_turned_on):
        return FourEyesRule.objects.filter(tenant_id=ctx.tenant_id, slug=slug).first() or row
    FourEyesRule.objects.bulk_create([row], ignore_conflicts=True)
    rule = FourEyesRule.objects.select_for_update().get(tenant_id=ctx.tenant_id, slug=slug)
    if rule.id == row.id and is_required:
        record(_entry("four_eyes.required", rule), ctx=ctx)  # it was on by default
    return rule


def _save(rule: FourEyesRule, *, is_required: bool) -> None:
    rule.is_required, rule.changed_at = is_required, clock.now()
    rule.end_asked_by = rule.end_asked_at = None
    rule.save(update_fields=["is_required", "changed_at", "end_asked_by", "end_asked_at"])


def _entry(kind: str, rule: FourEyesRule) -> Entry:
    return Entry(kind=kind, inputs={"rule": rule.slug}, outcome={"is_required": rule.is_required})
