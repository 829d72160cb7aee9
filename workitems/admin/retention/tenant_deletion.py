"""Console page of deletions of the tenant: request one, see when it is due, withdraw it."""

from __future__ import annotations

from typing import Any

from django import forms
from django.conf import settings
from django.contrib import admin
from django.db.models import QuerySet
from django.http import Http404, HttpRequest
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from threada_site.admin import html
from threada_site.admin.actions import Call, Done
from threada_site.admin.confirmation import Effects, FormConfirmation
from threada_site.admin.forms import ConsoleForm, form_page
from threada_site.admin.lists import Column
from threada_site.admin.model_admin import TenantAdmin
from threada_site.identity.stewardship import is_steward
from threada_site.kernel import ids
from threada_site.kernel.context import ActingContext, Scope
from threada_site.tenancy.deletions.models import TenantDeletion
from threada_site.tenancy.models import User
from workitems.retention.tenant_deletion import (
    check_may_request,
    pending_deletion,
    request_deletion,
    withdraw_deletion,
)


class RequestForm(ConsoleForm):
    intro = gettext_lazy(
        "An independent steward must publish the request. Until the operator begins the deletion, each steward can "
        "withdraw it."
    )
    tenant_id = forms.CharField(label=gettext_lazy("Id of this tenant"), max_length=63)

    def prepare(self) -> None:
        self.fields["tenant_id"].help_text = _("Type {slug}.").format(slug=self.ctx.tenant_slug)


class WithdrawForm(ConsoleForm):
    intro = gettext_lazy("The tenant stays. Another deletion needs a new request and a second person.")


def _effects(_page: Any, form: RequestForm) -> Effects:
    check_may_request(form.cleaned_data["tenant_id"], ctx=form.ctx)
    days = settings.THREADA_TENANT_DELETION_DAYS
    return Effects(
        [
            _("All cases, files, receipts, keys, roles, services and agents of this tenant are deleted for good."),
            _("People whom no other tenant knows are erased. A signed record remains."),
            ngettext(
                "The operator carries it out {days} day after the second steward confirmed it, or later.",
                "The operator carries it out {days} days after the second steward confirmed it, or later.",
                days,
            ).format(days=days),
        ]
    )


@admin.register(TenantDeletion)
class TenantDeletionAdmin(TenantAdmin):
    heading = gettext_lazy("Tenant deletion")
    scope = Scope.WORKFLOW_MANAGE
    id_prefix = ids.CHANGE_SET
    key = "-id"
    columns = (
        Column(gettext_lazy("Change set"), lambda row: html.code(ids.public_id(ids.CHANGE_SET, row.change_set_id))),
        Column(gettext_lazy("State"), lambda row: html.badge("withdrawn" if row.withdrawn_at else "waiting")),
        Column(gettext_lazy("Requested by"), lambda row: row.requester),
        Column(gettext_lazy("Confirmed by"), lambda row: row.confirmer),
        Column(gettext_lazy("Due at"), lambda row: html.when(row.due_at)),
        Column(gettext_lazy("Withdrawn at"), lambda row: html.when(row.withdrawn_at) or html.NOTHING),
    )
    about = gettext_lazy(
        "Deletion of this tenant with everything in it. It takes two independent stewards, a waiting period, and the "
        "operator."
    )
    nothing_yet = gettext_lazy("Nobody has confirmed a deletion of this tenant.")
    page_template = "workitems/tenant_deletion.html"

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Return True for stewards."""
        ctx: ActingContext | None = getattr(request, "acting_context", None)
        return ctx is not None and is_steward(ctx)

    def rows(self, ctx: ActingContext) -> QuerySet[Any]:
        return TenantDeletion.objects.filter(tenant_id=ctx.tenant_id)

    def complete(self, rows: list[Any], *, ctx: ActingContext) -> None:
        """Add the names of both stewards to each row."""
        people = [person for row in rows for person in (row.requested_by, row.confirmed_by)]
        names = dict(User.objects.filter(id__in=people).values_list("id", "username"))
        for row in rows:
            row.requester, row.confirmer = names.get(row.requested_by, ""), names.get(row.confirmed_by, "")

    def search(self, rows: QuerySet[Any], text: str) -> QuerySet[Any]:
        """Return the deletion of a change set."""
        parsed = ids.parse_public_id(ids.CHANGE_SET, text)
        return rows.filter(change_set_id=parsed) if parsed else rows.none()

    def key_of(self, row: TenantDeletion) -> str:
        return ids.public_id(ids.CHANGE_SET, row.change_set_id)

    def find(self, key: str, *, ctx: ActingContext) -> TenantDeletion:
        """Return the deletion of a change set. Raise `Http404`."""
        row: TenantDeletion | None = self.search(self.rows(ctx), key).first()
        if row is None:
            raise Http404("There is no such deletion in this tenant.")
        return row

    def page_title(self, row: TenantDeletion) -> str:
        return str(self.heading)

    def page(self, row: TenantDeletion, *, ctx: ActingContext) -> dict[str, Any]:
        self.complete([row], ctx=ctx)
        return {}

    def list_forms(self, ctx: ActingContext) -> list[tuple[str, str]]:
        """Return the form to request a deletion, or the one to withdraw the deletion that waits."""
        wanted = "withdraw" if pending_deletion(ctx=ctx) else "new"
        return [(url, title) for url, title in super().list_forms(ctx) if url.endswith(f"/{wanted}/")]

    @form_page(
        gettext_lazy("Request deletion"),
        form=RequestForm,
        scope=Scope.WORKFLOW_MANAGE,
        submit=gettext_lazy("Request deletion"),
        confirm=FormConfirmation(_effects),
    )
    def new(self, call: Call, form: RequestForm) -> Done:
        request_deletion(form.cleaned_data["tenant_id"], ctx=call.ctx)
        return Done(_("The deletion is confirmed."), self.list_url())

    @form_page(
        gettext_lazy("Withdraw deletion"),
        form=WithdrawForm,
        scope=Scope.WORKFLOW_MANAGE,
        submit=gettext_lazy("Withdraw deletion"),
    )
    def withdraw(self, call: Call, _form: WithdrawForm) -> Done:
        withdraw_deletion(ctx=call.ctx)
        return Done(_("The deletion is withdrawn."), self.list_url())
