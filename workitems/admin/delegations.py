"""Out-of-office pages: delegations and the form that creates one."""

from __future__ import annotations

import uuid
from typing import Any, Final

from django import forms
from django.contrib import admin
from django.db.models import QuerySet
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from threada_site.admin import html
from threada_site.admin.actions import Call, Done, action
from threada_site.admin.confirmation import Confirmation, Effects
from threada_site.admin.forms import ConsoleForm, form_page
from threada_site.admin.lists import Column, ListFilter
from threada_site.admin.model_admin import TenantAdmin
from threada_site.kernel import clock, errors, ids
from threada_site.kernel.context import ActingContext, Scope
from threada_site.kernel.errors import FieldError
from threada_site.tenancy.models import User
from workitems import selectors
from workitems.api.filters import DelegationFilters
from workitems.approvers.active_members import active_members_of
from workitems.models import Delegation
from workitems.steps.delegations import (
    OutOfOffice,
    confirm_delegation,
    consent_to_delegation,
    delegate,
    end_delegation,
    locked_delegation,
    may_confirm,
)
from workitems.steps.reassignment import named_principal

MOST_CHOICES: Final = 300
PROPOSED: Final = "proposed"


class InstantInput(forms.DateTimeInput):
    """Input field for date and time in the reader's time zone."""

    input_type = "datetime-local"

    def __init__(self) -> None:
        super().__init__(format="%Y-%m-%dT%H:%M")


class OutOfOfficeForm(ConsoleForm):
    """Delegator, delegate and period of a delegation."""

    intro = gettext_lazy(
        "The delegate may vote in place of the delegator. Both together count once, and an exclusion of one excludes "
        "the other. Permissions are not transferred: the delegate needs the permission to decide. A delegation for "
        "another person is in force once that person consents, or a second person confirms it."
    )
    delegator = forms.ChoiceField(label=gettext_lazy("Delegator"))
    delegate = forms.ChoiceField(label=gettext_lazy("Delegate"))
    starts_at = forms.DateTimeField(
        label=gettext_lazy("From"), required=False, widget=InstantInput(), help_text=gettext_lazy("Empty: now.")
    )
    ends_at = forms.DateTimeField(label=gettext_lazy("Until"), widget=InstantInput())
    reason = forms.CharField(label=gettext_lazy("Reason"), required=False, max_length=500)

    def prepare(self) -> None:
        people = list(active_members_of(self.ctx.tenant_id))
        names = [member.username for member in people]
        deciding = [
            member.username for member in people if member.id != self.ctx.principal_id and member.decides_somewhere
        ]
        if Scope.WORKFLOW_MANAGE not in self.ctx.scopes:
            del self.fields["delegator"]
        else:
            self._offer("delegator", names, initial=self.ctx.principal_name)
        self._offer("delegate", deciding)

    def _offer(self, name: str, names: list[str], *, initial: str = "") -> None:
        label = self.fields[name].label
        if len(names) > MOST_CHOICES:
            self.fields[name] = forms.CharField(label=label, max_length=150, help_text=_("A person's name."))
        else:
            self.fields[name].choices = [("", _("choose…")), *((one, one) for one in names)]  # type: ignore[attr-defined]
        self.fields[name].initial = initial


def _in_force(admin: Any, call: Call) -> Effects:
    row: Delegation = admin.find(call.key, ctx=call.ctx)
    until = date_format(timezone.localtime(row.ends_at), "DATETIME_FORMAT")
    said = _("{delegate} votes in place of {delegator} until {until}. Both together count once.")
    return Effects([said.format(delegate=row.delegate, delegator=row.delegator, until=until)])


def _ending(admin: Any, call: Call) -> Effects:
    row: Delegation = admin.find(call.key, ctx=call.ctx)
    said = _("{delegate} no longer votes in place of {delegator}. Earlier votes remain valid.")
    return Effects([said.format(delegate=row.delegate, delegator=row.delegator)])


CONSENT: Final = Confirmation(gettext_lazy("Consent"), _in_force)
CONFIRM: Final = Confirmation(gettext_lazy("Confirm delegation"), _in_force)
END: Final = Confirmation(gettext_lazy("End delegation"), _ending)


@admin.register(Delegation)
class DelegationAdmin(TenantAdmin):
    heading = gettext_lazy("Out of office")
    id_prefix = ids.DELEGATION
    key = "-id"
    columns = (
        Column(gettext_lazy("Delegator"), lambda row: row.delegator),
        Column(gettext_lazy("Delegate"), lambda row: row.delegate),
        Column(gettext_lazy("From"), lambda row: html.when(row.starts_at)),
        Column(gettext_lazy("Until"), lambda row: html.when(row.ends_at)),
        Column(gettext_lazy("Now"), lambda row: html.badge(phase_of(row))),
    )
    filters = (
        ListFilter(
            "active", gettext_lazy("In force"), choices=lambda _ctx: [("true", _("now")), ("false", _("not now"))]
        ),
    )
    filterset = DelegationFilters
    about = gettext_lazy("While a person is out of office, a delegate votes in their place. Both together count once.")
    nothing_yet = gettext_lazy("Nobody is out of office. Enter a period and a delegate who votes in your place.")
    page_template = "workitems/delegation.html"

    def rows(self, ctx: ActingContext) -> QuerySet[Any]:
        return selectors.delegations(ctx)

    def page_title(self, row: Delegation) -> str:
        return _("{delegate} stands in for {delegator}").format(delegate=row.delegate, delegator=row.delegator)

    def page(self, row: Delegation, *, ctx: ActingContext) -> dict[str, Any]:
        is_theirs = ctx.principal_id in (row.delegator_id, row.delegate_id)
        may_end = ctx.has_scope_anywhere(Scope.DECISIONS_DECIDE) and (is_theirs or Scope.WORKFLOW_MANAGE in ctx.scopes)
        is_proposed = phase_of(row) == PROPOSED
        return {
            "phase": phase_of(row),
            "created_by": _name(row.created_by),
            "consented_by": _name(row.consented_by),
            "may_end": may_end and row.ended_at is None and row.ends_at > clock.now(),
            "is_proposed": is_proposed,
            "may_consent": is_proposed
            and ctx.principal_id == row.delegator_id
            and ctx.has_scope_anywhere(Scope.DECISIONS_DECIDE),
            "may_confirm": is_proposed and ctx.principal_id != row.delegator_id and may_confirm(row, ctx=ctx),
        }

    @form_page(
        gettext_lazy("Set out of office"),
        form=OutOfOfficeForm,
        scope=Scope.DECISIONS_DECIDE,
        submit=gettext_lazy("Set out of office"),
    )
    def new(self, call: Call, form: ConsoleForm) -> Done:
        sent = form.cleaned_data
        row = delegate(
            OutOfOffice(
                delegator=_person(sent.get("delegator", call.ctx.actor), "delegator", ctx=call.ctx),
                delegate=_person(sent["delegate"], "delegate", ctx=call.ctx),
                starts_at=sent["starts_at"],
                ends_at=sent["ends_at"],
                reason=sent["reason"],
            ),
            ctx=call.ctx,
        )
        if row.consented_at is None:
            said = _("{delegate} stands in for {delegator} once {delegator} consents or a second person confirms it.")
        else:
            said = _("{delegate} stands in for {delegator}.")
        named = {"delegate": row.delegate.username, "delegator": row.delegator.username}
        return Done(said.format(**named), self.url_of(row))

    @action(Scope.DECISIONS_DECIDE, confirm=CONSENT)
    def consent(self, call: Call) -> Done:
        consent_to_delegation(_locked(call), ctx=call.ctx)
        return Done(_("You have consented. The delegation is in force."))

    @action(Scope.WORKFLOW_MANAGE, confirm=CONFIRM)
    def confirm(self, call: Call) -> Done:
        confirm_delegation(_locked(call), ctx=call.ctx)
        return Done(_("The delegation is confirmed and in force."))

    @action(Scope.DECISIONS_DECIDE, confirm=END)
    def end(self, call: Call) -> Done:
        end_delegation(_locked(call), ctx=call.ctx)
        return Done(_("The delegation has ended. Decisions of the delegate remain valid."))


def phase_of(row: Delegation) -> str:
    """Return the phase of a delegation in one word."""
    now = clock.now()
    if row.ends_at <= now:
        return "ended"
    if row.consented_at is None:
        return PROPOSED
    return "active" if row.starts_at <= now else "planned"


def _locked(call: Call) -> Delegation:
    parsed = ids.parse_public_id(ids.DELEGATION, call.key)
    if parsed is None:
        raise errors.NotFound
    return locked_delegation(parsed, ctx=call.ctx)


def _name(principal_id: uuid.UUID | None) -> Any:
    return (principal_id and User.objects.filter(id=principal_id).first()) or _("the instance")


def _person(name: str, field: str, *, ctx: ActingContext) -> User:
    found = named_principal(name, ctx=ctx)
    if found is None:
        raise errors.InvalidRequest(
            f"The {field} is not a principal of this tenant.",
            errors=[FieldError(f"/{field}", "is not a principal of this tenant", "unknown")],
        )
    return found
