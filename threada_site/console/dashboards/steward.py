"""Part of stewards: people, invitations and risks of accounts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.db.models import QuerySet
from django.utils.html import format_html
from django.utils.translation import gettext as _

from threada_site.admin import html
from threada_site.console.dashboards.parts import LISTED, Line, Part, metric
from threada_site.identity.stewardship import is_steward
from threada_site.kernel import clock
from threada_site.kernel.context import ActingContext
from threada_site.tenancy.account_link_models import LinkPurpose
from threada_site.tenancy.models import AccountDependence, AccountLink, Membership


def steward_counts(ctx: ActingContext) -> dict[str, QuerySet[Any]]:
    """Return the rows that the part counts; none for everybody else."""
    if not is_steward(ctx):
        return {}
    now = clock.now()
    people = Membership.objects.filter(tenant_id=ctx.tenant_id, user__kind="human", user__is_active=True)
    return {
        "people": people.filter(accepted_at__isnull=False),
        "invited": _open_invitations(ctx).filter(expires_at__gt=now),
        "expired": _open_invitations(ctx).filter(expires_at__lte=now),
        "unconfirmed": AccountDependence.objects.filter(tenant_id=ctx.tenant_id, ended_at__isnull=True),
    }


def steward_part(ctx: ActingContext, counted: Mapping[str, int]) -> Part | None:
    """Return the part, or None for everybody else. Runs one statement."""
    if not is_steward(ctx):
        return None
    now = clock.now()
    links = list(_open_invitations(ctx).select_related("user").order_by("-id")[:LISTED])
    members, invitations = html.list_url("tenancy.membership"), html.list_url("tenancy.accountlink")
    return Part(
        key="steward",
        title=_("People"),
        metrics=(
            metric(_("people"), counted["people"], members),
            metric(_("open invitations"), counted["invited"], invitations),
            metric(_("expired invitations"), counted["expired"], invitations, is_bad=True),
            metric(_("unconfirmed accounts"), counted["unconfirmed"], members, is_bad=True),
        ),
        lines=tuple(_line(link, is_expired=link.expires_at <= now) for link in links),
        nothing=_("There are no open invitations."),
        more=_("Members"),
        more_url=members,
    )


def _open_invitations(ctx: ActingContext) -> QuerySet[AccountLink]:
    mine = AccountLink.objects.filter(tenant_id=ctx.tenant_id, purpose=LinkPurpose.INVITATION)
    return mine.filter(used_at__isnull=True, withdrawn_at__isnull=True)


def _line(link: AccountLink, *, is_expired: bool) -> Line:
    said = _("expired") if is_expired else _("expires")
    remark = format_html("{} {}", said, html.when(link.expires_at))
    badge = html.badge("expired" if is_expired else "open")
    if link.mail_failure:
        remark = format_html("{} · {}", remark, _("the mail could not be sent"))
    return Line(str(link.user), html.page_url("tenancy.accountlink", link.public_id), badge, remark)
