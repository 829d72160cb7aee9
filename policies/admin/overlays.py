"""Console pages of overlays, the bindings of policies to scopes."""

from __future__ import annotations

from typing import Any, Final
from urllib.parse import urlencode

from django import forms
from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.translation import gettext, gettext_lazy
from django.views.decorators.http import require_safe

from policies import selectors
from policies.admin.consequences import REMOVE_OVERLAY
from policies.admin.effective import asked_effective
from policies.configuration.overlays import remove_overlay, upsert_overlay
from policies.documents.overlay import OverlayScope
from policies.language.time_window import read_time_window
from policies.models import Overlay
from threada_site.admin import html
from threada_site.admin.actions import Call, Done, action
from threada_site.admin.forms import ConsoleForm, form_page
from threada_site.admin.lists import Column
from threada_site.admin.model_admin import TenantAdmin
from threada_site.admin.words import word
from threada_site.kernel import clock, errors, ids
from threada_site.kernel.context import ActingContext, Scope
from threada_site.kernel.documents.field_errors import FieldErrors
from threada_site.tenancy.models import PeopleGroup, User
from threada_site.tenancy.upsert import Change

_WINDOW_HELP: Final = gettext_lazy("Start or end of the time window, e.g. 2026-12-24T00:00:00+01:00. Empty: no limit.")
_PLACES: Final = {
    "pack": gettext_lazy("the pack"),
    "workflow": gettext_lazy("the workflow"),
    "channel": gettext_lazy("the channel"),
}
_SAID: Final = {
    Change.CREATED: gettext_lazy("The overlay was created."),
    Change.CHANGED: gettext_lazy("The overlay already existed; its time window was changed."),
    Change.UNCHANGED: gettext_lazy("The overlay already exists."),
}


def new_overlay_url(ctx: ActingContext, **chosen: str) -> str:
    """Return the URL of the form of a new overlay with these values, or "" for people who may not create one."""
    may_create = ctx.allows(Scope.POLICIES_PUBLISH)
    return f"{reverse('admin:policies_overlay_new')}?{urlencode(chosen)}" if may_create else ""


class OverlayForm(ConsoleForm):
    prefilled = ("policy", "scope")
    intro = gettext_lazy(
        "The policy applies from the next decision on. Without a version in force, it denies everything in the scope."
    )
    policy = forms.ChoiceField(label=gettext_lazy("Policy"))
    scope = forms.ChoiceField(label=gettext_lazy("Applies to"))
    starts_at = forms.CharField(
        label=gettext_lazy("From (RFC 3339)"), required=False, max_length=40, help_text=_WINDOW_HELP
    )
    ends_at = forms.CharField(
        label=gettext_lazy("Until (RFC 3339)"), required=False, max_length=40, help_text=gettext_lazy("Empty: no end.")
    )

    def prepare(self) -> None:
        slugs = selectors.policies(self.ctx).order_by("slug").values_list("slug", flat=True)[:500]
        self.fields["policy"].choices = [(slug, slug) for slug in slugs]  # type: ignore[attr-defined]
        scopes = [("tenant/", gettext("everything in the tenant"))]
        bindable: list[tuple[str, QuerySet[Any]]] = [
            ("pack", selectors.packs(self.ctx)),
            ("workflow", selectors.workflows(self.ctx)),
            ("channel", selectors.channels(self.ctx)),
            ("group", PeopleGroup.objects.filter(tenant_id=self.ctx.tenant_id)),
        ]
        for kind, rows in bindable:
            named = rows.order_by("slug").values_list("slug", flat=True)[:500]
            whose = gettext("requests for members of the group") if kind == "group" else _PLACES[kind]
            scopes += [(f"{kind}/{slug}", f"{whose} {slug}") for slug in named]
        self.fields["scope"].choices = scopes  # type: ignore[attr-defined]


@admin.register(Overlay)
class OverlayAdmin(TenantAdmin):
    id_prefix = ids.OVERLAY
    key = "-id"
    columns = (
        Column(gettext_lazy("Policy"), lambda overlay: overlay.policy.slug),
        Column(gettext_lazy("Applies to"), lambda overlay: f"{word(overlay.scope_kind)} {overlay.scope_slug}".strip()),
        Column(
            gettext_lazy("In force"),
            lambda overlay: (
                f"v{overlay.policy.in_force.number}" if overlay.policy.in_force else html.badge("nothing: it denies")
            ),
        ),
        Column(gettext_lazy("From"), lambda overlay: html.when(overlay.starts_at) or html.NOTHING),
        Column(gettext_lazy("Until"), lambda overlay: html.when(overlay.ends_at) or html.NOTHING),
    )
    about = gettext_lazy(
        "Bindings of policies to scopes. All policies that apply decide together; the strictest effect wins, unless a "
        "narrower rule overrides an overridable rule."
    )
    nothing_yet = gettext_lazy(
        "No policy applies anywhere, so everything is denied. Bind one to the tenant, a workflow or a channel."
    )
    page_template = "policies/overlay.html"
    shows_edits = True

    def get_urls(self) -> list[URLPattern]:
        effective = path("effective/", self._wrap(require_safe(self.effective_view)), name="policies_overlay_effective")
        return [effective, *super().get_urls()]

    def rows(self, ctx: ActingContext) -> QuerySet[Any]:
        return selectors.overlays(ctx)

    def effective_view(self, request: HttpRequest) -> HttpResponse:
        """Show the effective rules for a kind of work item, with their origin."""
        ctx = self._require_view(request)
        context = {
            **self.admin_site.each_context(request),
            "title": gettext("Rules in effect"),
            "list_title": self.list_title,
            "list_url": self.list_url(),
            "asked": asked_effective(request.GET, ctx=ctx),
        }
        return TemplateResponse(request, "policies/effective.html", context)

    def _forms(self, ctx: ActingContext, *, of_row: bool, key: str = "") -> list[tuple[str, str]]:
        found = super()._forms(ctx, of_row=of_row, key=key)
        return found if of_row else [*found, (reverse("admin:policies_overlay_effective"), gettext("Rules in effect"))]

    def page(self, row: Overlay, *, ctx: ActingContext) -> dict[str, Any]:
        return {
            "may_remove": ctx.allows(Scope.POLICIES_PUBLISH),
            "applies_now": row.window.holds(clock.now()),
            "created_by": User.objects.filter(id=row.created_by).first() if row.created_by else gettext("the instance"),
        }

    @form_page(
        gettext_lazy("New overlay"),
        form=OverlayForm,
        scope=Scope.POLICIES_PUBLISH,
        submit=gettext_lazy("Create overlay"),
    )
    def new(self, call: Call, form: ConsoleForm) -> Done:
        kind, _, slug = form.cleaned_data["scope"].partition("/")
        field_errors = FieldErrors()
        sent = {name: form.cleaned_data[name].strip() or None for name in ("starts_at", "ends_at")}
        window = read_time_window(sent, "", field_errors)
        if field_errors.found:
            raise errors.DocumentInvalid("The time window is invalid.", errors=field_errors.found)
        result = upsert_overlay(form.cleaned_data["policy"], OverlayScope(kind, slug), window=window, ctx=call.ctx)
        return Done(str(_SAID[result.change]), self.url_of(result.row))

    @action(Scope.POLICIES_PUBLISH, confirm=REMOVE_OVERLAY)
    def remove(self, call: Call) -> Done:
        parsed = ids.parse_public_id(ids.OVERLAY, call.key)
        overlay = self.rows(call.ctx).filter(id=parsed).first() if parsed else None
        if overlay is None:
            raise errors.NotFound
        remove_overlay(overlay, ctx=call.ctx)
        return Done(gettext("{slug} no longer applies there.").format(slug=overlay.policy.slug), self.list_url())
