"""Console pages of change sets."""

from __future__ import annotations

import uuid
from typing import Any, Final

from django.contrib import admin
from django.db.models import OuterRef, QuerySet, Subquery
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from threada_site.admin import html
from threada_site.admin.actions import Call, Done, action
from threada_site.admin.confirmation import REASON, Confirmation, Effects
from threada_site.admin.documents import as_yaml
from threada_site.admin.lists import Column, ListFilter, words
from threada_site.admin.model_admin import TenantAdmin
from threada_site.admin.reauthentication import ALWAYS
from threada_site.identity.admin.account_links import purpose_to_show
from threada_site.identity.admin.shown_change import not_shown, shown_change
from threada_site.identity.api.change_sets import ChangeSetFilters
from threada_site.identity.change_sets.permissions import change_sets, require_independent, require_reviewer
from threada_site.identity.change_sets.publish import change_set_with_id, publish, reject
from threada_site.identity.known_as import known_as
from threada_site.identity.passwords import RESET_OPERATION
from threada_site.identity.selectors import principals_of_tenant
from threada_site.kernel import errors, ids
from threada_site.kernel.context import ActingContext
from threada_site.kernel.errors import ThreadaError
from threada_site.tenancy.authority_models import ChangeSet, ChangeSetStatus
from threada_site.tenancy.models import User

OPERATOR = "operator"


def _publishing(admin: Any, call: Call) -> Effects:
    row: ChangeSet = admin.find(call.key, ctx=call.ctx)
    change = shown_change(row)
    if change.left_out:
        return Effects([not_shown(row, change)])
    lines = [line for lines in change.differences for line in lines]
    proposer = getattr(row, "proposer", None) or OPERATOR
    said = _("{title}, proposed by {proposer}, takes effect exactly as shown.").format(
        title=row.title, proposer=proposer
    )
    return Effects([said], lines)


def _rejecting(admin: Any, call: Call) -> Effects:
    row: ChangeSet = admin.find(call.key, ctx=call.ctx)
    return Effects([_("{title} does not take effect. It can be proposed again.").format(title=row.title)])


PUBLISH: Final = Confirmation(gettext_lazy("Publish change set"), _publishing)
REJECT: Final = Confirmation(gettext_lazy("Reject change set"), _rejecting)


@admin.register(ChangeSet)
class ChangeSetAdmin(TenantAdmin):
    id_prefix = ids.CHANGE_SET
    key = "-id"
    columns = (
        Column(gettext_lazy("Change"), lambda row: row.title, is_wide=True),
        Column(gettext_lazy("Status"), lambda row: html.badge(row.status)),
        Column(gettext_lazy("Rule"), lambda row: row.rule),
        Column(gettext_lazy("Proposed by"), lambda row: row.proposer or OPERATOR),
        Column(gettext_lazy("Proposed"), lambda row: html.when(row.proposed_at)),
    )
    filters = (ListFilter("status", gettext_lazy("Status"), choices=words(ChangeSetStatus)),)
    filterset = ChangeSetFilters
    heading = gettext_lazy("Change sets")
    about = gettext_lazy("Changes that take effect when an independent person publishes them.")
    nothing_yet = gettext_lazy("No change waits for a second person.")
    page_template = "identity/change_set.html"

    def rows(self, ctx: ActingContext) -> QuerySet[Any]:
        proposer = User.objects.filter(id=OuterRef("proposed_by")).values("username")[:1]
        return change_sets(ctx).annotate(proposer=Subquery(proposer))

    def page_title(self, row: ChangeSet) -> str:
        return row.title

    def page(self, row: ChangeSet, *, ctx: ActingContext) -> dict[str, Any]:
        parties = [uuid.UUID(party) for party in row.parties]
        known = {person for person in (row.proposed_by, row.closed_by, *parties) if person}
        names: dict[Any, str] = {user.id: user.username for user in User.objects.filter(id__in=known)}
        is_open = row.status == ChangeSetStatus.PROPOSED
        why_not = _why_not(row, ctx=ctx) if is_open else ""
        is_own = row.proposed_by == ctx.principal_id
        link_of = _person_with_link(row, ctx=ctx)
        return {
            "proposed_by": names.get(row.proposed_by, OPERATOR),
            "closed_by": names.get(row.closed_by, OPERATOR),
            "parties": ", ".join(names[party] for party in parties if party in names),
            "change": shown_change(row),
            "link_of": link_of,
            "link_of_key": known_as(link_of, tenant_id=ctx.tenant_id) if link_of else "",
            "arguments": as_yaml(row.arguments),
            "is_open": is_open,
            "is_own": is_own,
            "why_not": why_not,
            "may_reject": is_open and (is_own or not why_not),
        }

    @action(None, step_up=ALWAYS, confirm=PUBLISH)
    def publish(self, call: Call) -> Done:
        """Publish exactly the change set that was shown."""
        row = _found(call)
        change = shown_change(row)
        if change.left_out:
            raise errors.InvalidRequest(not_shown(row, change))
        published = publish(row, call.sent("digest"), ctx=call.ctx)
        return Done(_("Published: {title}.").format(title=published.title))

    @action(None, confirm=REJECT)
    def reject(self, call: Call) -> Done:
        """Reject the change set, or withdraw an own one."""
        rejected = reject(_found(call), call.sent(REASON), ctx=call.ctx)
        return Done(_("Rejected: {title}.").format(title=rejected.title))


def _found(call: Call) -> ChangeSet:
    return change_set_with_id(ids.parse_public_id(ids.CHANGE_SET, call.key), ctx=call.ctx)


def _why_not(row: ChangeSet, *, ctx: ActingContext) -> str:
    """Return why `ctx` may not publish the change set, or an empty text."""
    try:
        require_reviewer(row, ctx=ctx)
        require_independent(row, ctx=ctx)
    except ThreadaError as refusal:
        return refusal.detail
    return ""


def _person_with_link(row: ChangeSet, *, ctx: ActingContext) -> User | None:
    """Return the person whose one-time link was created by the publication and can be shown to `ctx`."""
    if row.status != ChangeSetStatus.PUBLISHED or row.closed_by != ctx.principal_id:
        return None
    members = principals_of_tenant(ctx.tenant_id)
    if row.operation == "identity.add_principal":
        person = members.filter(username=row.arguments["name"]).first()
    elif row.operation == RESET_OPERATION:
        principal_id = ids.parse_public_id(ids.PRINCIPAL, row.arguments["principal"])
        person = members.filter(id=principal_id).first() if principal_id else None
    else:
        return None
    return person if person is not None and purpose_to_show(person, ctx=ctx) else None
