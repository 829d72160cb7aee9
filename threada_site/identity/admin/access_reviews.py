"""Console pages of access reviews: start, progress, decisions about each holder, end."""

from __future__ import annotations

from typing import Any, ClassVar

import django_filters
from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest, QueryDict
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from telemetry.admin.list_csv import CsvDownload
from threada_site.admin import html
from threada_site.admin.actions import Call, Done, action
from threada_site.admin.bulk import BulkAction, BulkActions
from threada_site.admin.confirmation import REASON, Confirmation, Effects, FormConfirmation
from threada_site.admin.forms import ConsoleForm, form_page
from threada_site.admin.lists import Column, ListFilter, ListPage
from threada_site.admin.model_admin import TenantAdmin
from threada_site.admin.words import word
from threada_site.identity.access_reviews.reviews import (
    access_reviews,
    attest,
    entries,
    finish_review,
    progress,
    start_review,
)
from threada_site.identity.admin.access_cells import fixed_cell, names_in
from threada_site.identity.known_as import known_as
from threada_site.identity.stewardship import is_steward, is_steward_or_auditor
from threada_site.kernel import ids
from threada_site.kernel.context import ActingContext, PrincipalKind, Scope
from threada_site.tenancy.directory.access_review_models import Attestation
from threada_site.tenancy.models import AccessReview, AccessReviewEntry, Membership, User


class StartForm(ConsoleForm):
    """Form without fields: its page asks for confirmation."""


def _starting(_page: Any, form: ConsoleForm) -> Effects:
    members = Membership.objects.filter(tenant_id=form.ctx.tenant_id).count()
    return Effects(
        [
            _("The list of {count} members and what they hold is fixed now, with its digest.").format(count=members),
            _("Stewards then decide about each of them. Nobody decides about the own access."),
        ]
    )


def _finishing(page: Any, call: Call) -> Effects:
    numbers = progress(page.find(call.key, ctx=call.ctx))
    return Effects(
        [
            _("{keep} keep their access. {remove} must lose it; of these, {still} are still members.").format(
                keep=numbers["keep"], remove=numbers["remove"], still=numbers["still_held"]
            ),
            _("The decisions cannot be changed afterwards."),
        ]
    )


class _ForReaders(TenantAdmin):
    """Pages for stewards and auditors."""

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        ctx: ActingContext | None = getattr(request, "acting_context", None)
        return ctx is not None and is_steward_or_auditor(ctx)


@admin.register(AccessReview)
class AccessReviewAdmin(_ForReaders):
    heading = gettext_lazy("Access reviews")
    id_prefix = ids.ACCESS_REVIEW
    key = "-id"
    columns = (
        Column(gettext_lazy("Review"), lambda row: html.code(row.public_id)),
        Column(gettext_lazy("State"), lambda row: html.badge(row.status)),
        Column(gettext_lazy("Holders"), lambda row: row.entry_count),
        Column(gettext_lazy("Started"), lambda row: html.when(row.started_at)),
        Column(gettext_lazy("Ended"), lambda row: html.when(row.finished_at) or html.NOTHING),
    )
    about = gettext_lazy(
        "A review fixes the list of who holds what. People then confirm each entry, or ask for removal."
    )
    nothing_yet = gettext_lazy("No access review was started yet.")
    page_template = "identity/access_review.html"

    def rows(self, ctx: ActingContext) -> QuerySet[Any]:
        return access_reviews(ctx)

    def page(self, row: AccessReview, *, ctx: ActingContext) -> dict[str, Any]:
        numbers = progress(row)
        people = dict(User.objects.filter(id__in=[row.started_by, row.finished_by]).values_list("id", "username"))
        listed = reverse("admin:tenancy_accessreviewentry_changelist") + f"?review={row.public_id}"
        return {
            "numbers": numbers,
            "decided": row.entry_count - numbers["open"],
            "starter": people.get(row.started_by, ""),
            "finisher": people.get(row.finished_by, "") if row.finished_by else "",
            "entries_url": listed,
            "open_url": f"{listed}&decision=open",
            "remove_url": f"{listed}&decision=remove",
            "may_finish": row.finished_at is None and not numbers["open"] and is_steward(ctx),
        }

    @form_page(
        gettext_lazy("Start review"),
        form=StartForm,
        scope=Scope.WORKFLOW_MANAGE,
        submit=gettext_lazy("Start review"),
        confirm=FormConfirmation(_starting),
    )
    def new(self, call: Call, form: StartForm) -> Done:
        review = start_review(ctx=call.ctx)
        return Done(_("The review is started."), self.url_of(review))

    @action(Scope.WORKFLOW_MANAGE, confirm=Confirmation(gettext_lazy("Finish review"), _finishing))
    def finish(self, call: Call) -> Done:
        """Finish a review whose entries all have a decision."""
        finish_review(self.find(call.key, ctx=call.ctx), ctx=call.ctx)
        return Done(_("The review is finished."))


class EntryFilters(django_filters.FilterSet):
    """Query parameters of the entries."""

    review = django_filters.CharFilter(method="of_review")
    decision = django_filters.ChoiceFilter(choices=[("open", "open"), *Attestation.choices], method="with_decision")

    def of_review(self, rows: QuerySet[Any], _name: str, value: str) -> QuerySet[Any]:
        """Keep the entries of a review."""
        parsed = ids.parse_public_id(ids.ACCESS_REVIEW, value)
        return rows.filter(review_id=parsed) if parsed else rows.none()

    def with_decision(self, rows: QuerySet[Any], _name: str, value: str) -> QuerySet[Any]:
        """Keep the entries with a decision, or those without one."""
        return rows.filter(decision="" if value == "open" else value)


def _decision(row: Any) -> Any:
    return html.badge(row.decision or "open")


@admin.register(AccessReviewEntry)
class AccessReviewEntryAdmin(BulkActions, CsvDownload, _ForReaders):
    heading = gettext_lazy("Entries of access reviews")
    id_prefix = ids.ACCESS_REVIEW_ENTRY
    key = "-id"
    columns = (
        Column(gettext_lazy("Name"), lambda row: row.user.username),
        Column(
            gettext_lazy("Kind"),
            lambda row: _("person") if row.user.kind == PrincipalKind.HUMAN else word(row.user.kind),
            name="kind",
        ),
        Column(gettext_lazy("Holds"), lambda row: fixed_cell(row.holds, row.names), is_wide=True, name="holds"),
        Column(gettext_lazy("Last used"), lambda row: (row.holds["last_used_at"] or _("never"))[:10], name="used"),
        Column(gettext_lazy("Decision"), _decision, name="decision"),
        Column(gettext_lazy("Decided by"), lambda row: row.decider, name="by"),
        Column(gettext_lazy("Comment"), lambda row: row.comment or html.NOTHING, is_wide=True, name="comment"),
        Column(gettext_lazy("Review"), lambda row: html.code(row.review.public_id), False, True, name="review"),
    )
    filters = (
        ListFilter("review", gettext_lazy("Review"), "text"),
        ListFilter(
            "decision",
            gettext_lazy("Decision"),
            choices=lambda _ctx: [(one, word(one)) for one in ("open", "keep", "remove")],
        ),
    )
    filterset = EntryFilters
    bulk_actions: ClassVar[tuple[BulkAction, ...]] = (
        BulkAction("keep", gettext_lazy("Keep access"), takes_reason=True),
        BulkAction("ask_removal", gettext_lazy("Ask for removal"), takes_reason=True),
    )
    search_hint = gettext_lazy("name begins with")
    about = gettext_lazy("What each member held when the review started, and what was decided about it.")
    page_template = "identity/access_review_entry.html"

    def rows(self, ctx: ActingContext) -> QuerySet[Any]:
        return entries(ctx)

    def search(self, rows: QuerySet[Any], text: str) -> QuerySet[Any]:
        return rows.filter(user__username__startswith=text)

    def complete(self, rows: list[Any], *, ctx: ActingContext) -> None:
        """Add the names of the people that the rows name by id."""
        names = names_in([row.holds for row in rows])
        deciders = dict(User.objects.filter(id__in=[row.decided_by for row in rows]).values_list("id", "username"))
        for row in rows:
            row.names, row.decider = names, deciders.get(row.decided_by, html.NOTHING)

    def csv_page(self, request: HttpRequest, query: QueryDict) -> ListPage:
        page = super().csv_page(request, query)
        self.complete(page.rows, ctx=request.acting_context)  # type: ignore[attr-defined]
        return page

    def page_title(self, row: AccessReviewEntry) -> str:
        return _("Access of {name}").format(name=row.user.username)

    def page(self, row: Any, *, ctx: ActingContext) -> dict[str, Any]:
        self.complete([row], ctx=ctx)
        is_member = Membership.objects.filter(tenant_id=ctx.tenant_id, user_id=row.user_id).exists()
        return {
            "held": fixed_cell(row.holds, row.names),
            "owner": row.names.get(row.holds["owner"] or "", ""),
            "giver": row.names.get(row.holds["by"] or "", "") or _("operator"),
            "since": row.holds["since"][:10],
            "used": (row.holds["last_used_at"] or "")[:10],
            "is_member": is_member,
            "known_as": known_as(row.user, tenant_id=ctx.tenant_id),
            "may_decide": row.review.finished_at is None and is_steward(ctx) and row.user_id != ctx.principal_id,
        }

    def _forms(self, ctx: ActingContext, *, of_row: bool, key: str = "") -> list[tuple[str, str]]:
        return []

    @action(Scope.WORKFLOW_MANAGE)
    def keep(self, call: Call) -> Done:
        """Record that a holder keeps the access."""
        return self._attested(call, Attestation.KEEP)

    @action(Scope.WORKFLOW_MANAGE)
    def ask_removal(self, call: Call) -> Done:
        """Record that an access must be removed."""
        return self._attested(call, Attestation.REMOVE)

    def _attested(self, call: Call, decision: str) -> Done:
        said = call.sent("comment") or call.sent(REASON)
        attest(self.find(call.key, ctx=call.ctx), decision, said, ctx=call.ctx)
        return Done(_("The decision is recorded."))
