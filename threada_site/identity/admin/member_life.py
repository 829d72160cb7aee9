"""Texts on the page of a member: how the person joined and signs in, and what ends with a removal."""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from datetime import datetime

from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import ngettext_lazy

from telemetry.models import AccountEvent, Receipt
from threada_site.admin import html
from threada_site.admin.words import word
from threada_site.identity.departure.preview import ends_with_membership
from threada_site.kernel.context import ActingContext
from threada_site.tenancy.account_link_models import AccountLink, LinkPurpose
from threada_site.tenancy.authority_models import GrantKind, GrantRecord
from threada_site.tenancy.models import IdentityLink, Membership, User

type Line = tuple[str, SafeString | str]


def life_of(row: Membership, links: Iterable[IdentityLink], *, ctx: ActingContext) -> list[Line]:
    """Return lines with labels about the person of a membership, who has `links`. For stewards and the person."""
    return [
        (_("Joined"), _joined(row, ctx=ctx)),
        (_("Signs in by"), _methods(row.user, links) if row.accepted_at is not None else _("nothing yet")),
        (_("Last sign-in"), html.when(_last_sign_in(row.user, ctx=ctx)) or _("never in this tenant")),
    ]


def ends_in_words(person: User, *, ctx: ActingContext) -> list[str]:
    """Return what ends when the membership ends, one sentence each."""
    counted = ends_with_membership(person, ctx=ctx)
    said = {
        "session": ngettext_lazy("{number} session", "{number} sessions", "number"),
        "token": ngettext_lazy("{number} token", "{number} tokens", "number"),
        "identity provider account": ngettext_lazy(
            "{number} account at an identity provider", "{number} accounts at identity providers", "number"
        ),
        "open link": ngettext_lazy("{number} open link", "{number} open links", "number"),
        "open change set": ngettext_lazy("{number} open change set", "{number} open change sets", "number"),
    }
    return [said[noun].format(number=count) for noun, count in counted.items() if count]


def _joined(row: Membership, *, ctx: ActingContext) -> SafeString:
    grants = GrantRecord.objects.filter(tenant_id=ctx.tenant_id, user=row.user, kind=GrantKind.MEMBER)
    grant = grants.first()
    invitations = AccountLink.objects.filter(
        tenant_id=ctx.tenant_id, user=row.user, purpose=LinkPurpose.INVITATION, used_at__isnull=False
    )
    invitation = invitations.order_by("-used_at").first()
    if grant is not None and grant.source:
        how: SafeString | str = format_html(_("by {}"), grant.source)
    elif row.added_by is None:
        how = _("added by the operator")
    else:
        how = format_html(_("invited by {}"), _name(grant.granted_by if grant else row.added_by))
    confirmed = ""
    if grant is not None and grant.confirmed_by is not None:
        confirmed = format_html(_("confirmed by {}"), _name(grant.confirmed_by))
    accepted = format_html(_("accepted {}"), html.when(invitation.used_at)) if invitation else ""
    said = [format_html("{} {}", html.when(row.created_at), how), *filter(None, (confirmed, accepted))]
    return format_html_join(", ", "{}", ((one,) for one in said))


def _methods(person: User, links: Iterable[IdentityLink]) -> str:
    """Return the ways in which the person can sign in here."""
    named = [
        f"{link.provider} ({word('suspended')})" if link.suspended_at else str(link.provider)
        for link in links
        if link.ended_at is None
    ]
    return ", ".join([*([word("password")] if person.has_usable_password() else []), *named]) or _("nothing yet")


def _last_sign_in(person: User, *, ctx: ActingContext) -> datetime | None:
    """Return the time of the last sign-in that this tenant knows of, or None."""
    events = AccountEvent.objects.filter(tenant_id=ctx.tenant_id, principal_id=person.id).values("receipt_id")
    receipts = Receipt.objects.filter(tenant_id=ctx.tenant_id, kind="session.signed_in", id__in=events)
    return receipts.order_by("-id").values_list("occurred_at", flat=True).first()


def _name(principal_id: uuid.UUID | None) -> str:
    if principal_id is None:
        return _("the operator")
    return User.objects.filter(id=principal_id).values_list("username", flat=True).first() or _("somebody")
