"""Console page of access: who holds what, since when, given by whom, last used."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse, QueryDict
from django.urls import reverse
from django.utils.html import format_html
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from telemetry.admin.list_csv import CsvDownload
from threada_site.admin import html
from threada_site.admin.lists import Column, ListFilter, ListPage
from threada_site.admin.model_admin import TenantAdmin
from threada_site.admin.words import word
from threada_site.identity.access_reviews.filters import HolderFilters
from threada_site.identity.access_reviews.holdings import read_holdings
from threada_site.identity.admin.access_cells import held_cell
from threada_site.identity.known_as import known_as, member_named
from threada_site.identity.stewardship import is_steward_or_auditor
from threada_site.kernel import ids
from threada_site.kernel.context import ActingContext, PrincipalKind
from threada_site.tenancy.models import AccessHolder, Membership


def _kind(row: Any) -> Any:
    said = _("person") if row.user.kind == PrincipalKind.HUMAN else word(row.user.kind)
    return format_html("{} {}", said, html.tags([_("steward")])) if row.holding.is_steward else said


def _owner(row: Any) -> Any:
    if row.user.kind == PrincipalKind.HUMAN:
        return html.NOTHING
    return row.owner.username if row.owner else _("nobody")


def _since(row: Any) -> Any:
    by = row.holding.names.get(row.added_by, "") if row.added_by else _("operator")
    return f"{row.created_at:%Y-%m-%d}, {by}"


@admin.register(AccessHolder)
class AccessHolderAdmin(CsvDownload, TenantAdmin):
    heading = gettext_lazy("Access review")
    id_prefix = ids.PRINCIPAL
    key = "user__username"
    columns = (
        Column(gettext_lazy("Name"), lambda row: row.user.username),
        Column(gettext_lazy("Kind"), _kind, name="kind"),
        Column(gettext_lazy("Owner"), _owner, name="owner"),
        Column(
            gettext_lazy("Roles and groups"),
            lambda row: held_cell(row.holding, ("role", "group")),
            is_wide=True,
            name="roles",
        ),
        Column(
            gettext_lazy("Scopes on objects, credentials"),
            lambda row: held_cell(row.holding, ("scope", "credential", "break_glass")),
            is_wide=True,
            name="held",
        ),
        Column(gettext_lazy("Scopes"), lambda row: html.tags(sorted(row.holding.scopes)), True, True, name="scopes"),
        Column(gettext_lazy("Member since, added by"), _since, name="since"),
        Column(gettext_lazy("Last used"), lambda row: html.when(row.holding.last_used_at) or _("never"), name="used"),
    )
    filters = (
        ListFilter("kind", gettext_lazy("Kind"), choices=lambda _ctx: [(one, word(one)) for one in PrincipalKind]),
        ListFilter(
            "concern",
            gettext_lazy("Look at"),
            choices=lambda _ctx: [
                ("unused", _("not used for 90 days")),
                ("manages", _("holds workflow:manage")),
                ("never_signed_in", _("never signed in")),
                ("owner_left", _("agents whose owner has left")),
            ],
        ),
    )
    filterset = HolderFilters
    search_hint = gettext_lazy("name begins with")
    about = gettext_lazy(
        "What people, services and agents hold in this tenant, since when, given by whom, and when it was last used: "
        "the last sign-in, use of a session here, or use of a credential. Dates are in UTC."
    )

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Return True for stewards and auditors."""
        ctx: ActingContext | None = getattr(request, "acting_context", None)
        return ctx is not None and is_steward_or_auditor(ctx)

    def rows(self, ctx: ActingContext) -> QuerySet[Any]:
        rows = AccessHolder.objects.filter(tenant_id=ctx.tenant_id).select_related("user", "owner")
        return rows if is_steward_or_auditor(ctx) else rows.none()

    def search(self, rows: QuerySet[Any], text: str) -> QuerySet[Any]:
        return rows.filter(user__username__startswith=text)

    def complete(self, rows: list[Any], *, ctx: ActingContext) -> None:
        """Add to each row what the member holds."""
        for row, holding in zip(rows, read_holdings(rows, tenant_id=ctx.tenant_id), strict=True):
            row.holding = holding

    def csv_page(self, request: HttpRequest, query: QueryDict) -> ListPage:
        page = super().csv_page(request, query)
        self.complete(page.rows, ctx=request.acting_context)  # type: ignore[attr-defined]
        return page

    def key_of(self, row: Any) -> str:
        named: str = row.holding.known_as if hasattr(row, "holding") else known_as(row.user, tenant_id=row.tenant_id)
        return named

    def url_of(self, row: AccessHolder) -> str:
        """Return the URL of the member's page, where the access is changed."""
        return html.page_url("tenancy.membership", self.key_of(row))

    def find(self, key: str, *, ctx: ActingContext) -> Any:
        parsed = member_named(key, tenant_id=ctx.tenant_id)
        row = self.rows(ctx).filter(user_id=parsed).first() if parsed else None
        if row is None:
            raise Http404("There is no such holder in this tenant.")
        return row

    def row_view(self, request: HttpRequest, key: str) -> HttpResponse:
        """Show the page of the member, where the access is changed."""
        self.find(key, ctx=self._require_view(request))
        members: TenantAdmin = self.admin_site.get_model_admin(Membership)
        return members.row_view(request, key)

    def list_forms(self, ctx: ActingContext) -> list[tuple[str, str]]:
        return [(reverse("admin:tenancy_accessreview_changelist"), _("Access reviews"))]
