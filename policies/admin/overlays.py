"""Overlays: where policies apply."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin
from django.db.models import QuerySet

from policies import selectors
from policies.models import Overlay
from policies.overlay_documents import OverlayScope
from policies.services.overlays import put_overlay, remove_overlay
from threada_site.admin import html
from threada_site.admin.acts import Call, Done, act
from threada_site.admin.forms import ConsoleForm, form_page
from threada_site.admin.lists import Column
from threada_site.admin.model_admin import TenantAdmin
from threada_site.kernel import errors, ids
from threada_site.kernel.context import ActingContext, Scope
from threada_site.tenancy.models import User


class OverlayForm(ConsoleForm):
    intro = (
        "The policy decides there from the next decision on. Without a version in force, it denies everything there."
    )
    policy = forms.ChoiceField(label="Policy")
    scope = forms.ChoiceField(label="Applies to")

    def prepare(self) -> None:
        slugs = selectors.policies(self.ctx).order_by("slug").values_list("slug", flat=True)[:500]
        self.fields["policy"].choices = [(slug, slug) for slug in slugs]  # type: ignore[attr-defined]
        scopes = [("tenant/", "everything in the tenant")]
        for kind, rows in (("workflow", selectors.workflows(self.ctx)), ("channel", selectors.channels(self.ctx))):
            named = rows.order_by("slug").values_list("slug", flat=True)[:500]  # type: ignore[attr-defined]
            scopes += [(f"{kind}/{slug}", f"the {kind} {slug}") for slug in named]
        self.fields["scope"].choices = scopes  # type: ignore[attr-defined]


@admin.register(Overlay)
class OverlayAdmin(TenantAdmin):
    id_prefix = ids.OVERLAY
    key = "-id"
    columns = (
        Column("Policy", lambda overlay: overlay.policy.slug),
        Column("Applies to", lambda overlay: f"{overlay.scope_kind} {overlay.scope_slug}".strip()),
        Column(
            "In force",
            lambda overlay: (
                f"v{overlay.policy.in_force.number}" if overlay.policy.in_force else html.badge("nothing: it denies")
            ),
        ),
        Column("Since", lambda overlay: html.when(overlay.created_at)),
    )
    about = "Which policy applies where. All that apply decide together; the strictest effect wins."
    nothing_yet = (
        "No policy applies anywhere, so everything is denied. Bind one to the tenant, a workflow or a channel."
    )
    page_template = "policies/overlay.html"
    shows_edits = True

    def rows(self, ctx: ActingContext) -> QuerySet[Any]:
        return selectors.overlays(ctx)

    def page(self, row: Overlay, *, ctx: ActingContext) -> dict[str, Any]:
        return {
            "may_remove": ctx.allows(Scope.POLICIES_PUBLISH),
            "created_by": User.objects.filter(id=row.created_by).first() if row.created_by else "the instance",
        }

    @form_page("New overlay", form=OverlayForm, scope=Scope.POLICIES_PUBLISH, submit="Have it apply")
    def new(self, call: Call, form: ConsoleForm) -> Done:
        kind, _, slug = form.cleaned_data["scope"].partition("/")
        put = put_overlay(form.cleaned_data["policy"], OverlayScope(kind, slug), ctx=call.ctx)
        said = "It applies there from now on." if put.is_new else "It applied there already."
        return Done(said, self.url_of(put.row))

    @act(Scope.POLICIES_PUBLISH)
    def remove(self, call: Call) -> Done:
        parsed = ids.parse_public_id(ids.OVERLAY, call.key)
        overlay = self.rows(call.ctx).filter(id=parsed).first() if parsed else None
        if overlay is None:
            raise errors.NotFound
        remove_overlay(overlay, ctx=call.ctx)
        return Done(f"{overlay.policy.slug} no longer applies there.", self.list_url())
