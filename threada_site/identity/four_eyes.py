"""Having actions of one kind need two people. Turning that on takes one of them; turning it off takes both."""

from __future__ import annotations

from datetime import timedelta
from typing import Final

from telemetry.receipts.format import Entry
from telemetry.receipts.record import record
from threada_site.database.unit_of_work import require_unit_of_work
from threada_site.identity.stewardship import require_steward
from threada_site.kernel import clock, errors
from threada_site.kernel.context import ActingContext
from threada_site.tenancy.four_eyes import FOUR_EYES
from threada_site.tenancy.models import FourEyesRule

ASKED_LASTS: Final = timedelta(days=7)
"""After so long somebody has to ask again: what was meant then may not be meant now."""


def require_four_eyes(slug: str, *, ctx: ActingContext) -> FourEyesRule:
    """Have these actions need two people from now on; whoever asked to end that is told no.

    Nothing happens when it is so already. Receipt `four_eyes.required`. Raises `PermissionDenied` for who is no
    tenant_admin.
    """
    rule = _locked(slug, ctx=ctx)
    if rule.is_required and rule.end_asked_by is None:
        return rule
    _save(rule, is_required=True)
    record(_entry("four_eyes.required", rule), ctx=ctx)
    return rule


def end_four_eyes(slug: str, *, ctx: ActingContext) -> FourEyesRule:
    """Have one person be enough again: the first who calls asks for it, another one within seven days ends it.

    Receipts `four_eyes.end_asked`, then `four_eyes.ended`. Raises `PermissionDenied`, `PersonRequired` (services,
    agents and the instance's operator count as nobody), `SecondPersonRequired` for who has asked.
    """
    rule = _locked(slug, ctx=ctx)
    if not ctx.is_person:
        raise errors.PersonRequired("Two people end this, in the console or each with a token of their own.")
    if not rule.is_required:
        return rule
    now = clock.now()
    is_asked = rule.end_asked_at is not None and now - rule.end_asked_at <= ASKED_LASTS
    if not is_asked:
        rule.end_asked_by, rule.end_asked_at = ctx.principal_id, now
        rule.save(update_fields=["end_asked_by", "end_asked_at"])
        record(_entry("four_eyes.end_asked", rule), ctx=ctx)
        return rule
    if rule.end_asked_by == ctx.principal_id:
        raise errors.SecondPersonRequired("You have asked to end this. Another tenant administrator ends it.")
    _save(rule, is_required=False)
    record(_entry("four_eyes.ended", rule), ctx=ctx)
    return rule


def _locked(slug: str, *, ctx: ActingContext) -> FourEyesRule:
    require_unit_of_work(ctx.tenant_id)
    require_steward(ctx)
    if slug not in FOUR_EYES:
        raise errors.NotFound
    FourEyesRule.objects.bulk_create([FourEyesRule(tenant_id=ctx.tenant_id, slug=slug)], ignore_conflicts=True)
    return FourEyesRule.objects.select_for_update().get(tenant_id=ctx.tenant_id, slug=slug)


def _save(rule: FourEyesRule, *, is_required: bool) -> None:
    rule.is_required, rule.changed_at = is_required, clock.now()
    rule.end_asked_by = rule.end_asked_at = None
    rule.save(update_fields=["is_required", "changed_at", "end_asked_by", "end_asked_at"])


def _entry(kind: str, rule: FourEyesRule) -> Entry:
    return Entry(kind=kind, inputs={"rule": rule.slug}, outcome={"is_required": rule.is_required})
