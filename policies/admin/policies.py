"""Console pages of policies: version in force, new drafts, text diff of two versions."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import URLPattern, path
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_POST, require_safe

from policies import selectors
from policies.admin.comparing import comparison
from policies.admin.editor import DraftForm, check_answer
from policies.admin.overlays import new_overlay_url
from policies.admin.preview import may_preview, preview_answer
from policies.configuration.texts import document_text
from policies.drafts.edit import draft_policy_version
from policies.models import Policy
from threada_site.admin import html
from threada_site.admin.actions import Call, Done
from threada_site.admin.documents import one_document, with_lines
from threada_site.admin.forms import ConsoleForm, form_page
from threada_site.admin.lists import Column
from threada_site.admin.model_admin import TenantAdmin, context_of
from threada_site.admin.notices import policy_notices
from threada_site.kernel import errors, ids
from threada_site.kernel.context import ActingContext, Scope
from threada_site.kernel.documents.patch import patched

_SHOWN = 100


@admin.register(Policy)
class PolicyAdmin(TenantAdmin):
    columns = (
        Column(gettext_lazy("Policy"), lambda policy: policy.slug),
        Column(
            gettext_lazy("In force"),
            lambda policy: f"v{policy.in_force.number}" if policy.in_force else html.badge("none"),
        ),
        Column(
            gettext_lazy("Rules"),
            lambda policy: len(policy.in_force.document["rules"]) if policy.in_force else html.NOTHING,
        ),
        Column(
            gettext_lazy("Published"),
            lambda policy: html.when(policy.in_force.published_at) if policy.in_force else _("never"),
        ),
    )
    about = gettext_lazy(
        "Rule documents. A policy applies where an overlay binds it. Without a version in force it denies there."
    )
    nothing_yet = gettext_lazy(
        "There is no policy, so everything is denied. Draft one, publish it, and bind it with an overlay."
    )
    page_template = "policies/policy.html"
    shows_edits = True

    def get_urls(self) -> list[URLPattern]:
        found = [
            path("check/", self._wrap(require_POST(self.check_text)), name="policies_policy_check"),
            path("<str:key>/preview/", self._wrap(require_POST(self.preview)), name="policies_policy_preview"),
            path("<str:key>/compare/", self._wrap(require_safe(self.compare)), name="policies_policy_compare"),
        ]
        return [*found, *super().get_urls()]

    def notices(self, ctx: ActingContext) -> list[SafeString]:
        return policy_notices(ctx)

    def rows(self, ctx: ActingContext) -> QuerySet[Any]:
        return selectors.policies(ctx)

    def check_text(self, request: HttpRequest) -> HttpResponse:
        """Check a text during editing. Saves nothing."""
        ctx = context_of(request)
        if not ctx.allows(Scope.POLICIES_WRITE):
            raise PermissionDenied
        return check_answer(request, ctx)

    def preview(self, request: HttpRequest, key: str) -> HttpResponse:
        """Replay some decisions with a text during editing. Saves nothing.

        The counts tell about cases: the caller must hold the scope that reads reports of replays, too.
        """
        ctx = context_of(request)
        if not may_preview(ctx):
            raise PermissionDenied
        return preview_answer(request, key, ctx)

    def compare(self, request: HttpRequest, key: str) -> HttpResponse:
        """Show the text diff of two versions."""
        ctx = self._require_view(request)
        policy = self.find(key, ctx=ctx)
        context = {
            **self.admin_site.each_context(request),
            "title": _("Compare versions"),
            "list_title": self.list_title,
            "list_url": self.list_url(),
            "row": policy,
            "row_url": self.url_of(policy),
            "row_title": self.page_title(policy),
            **comparison(policy, request.GET),
        }
        return TemplateResponse(request, "policies/compare.html", context)

    def page(self, row: Policy, *, ctx: ActingContext) -> dict[str, Any]:
        return {
            "document": document_text(row.in_force, slug=row.slug) if row.in_force else "",
            "versions": selectors.policy_versions(row).defer("document").order_by("-number")[:_SHOWN],
            "overlays": selectors.overlays(ctx).filter(policy=row).order_by("scope_kind", "scope_slug")[:_SHOWN],
            "overlay_url": new_overlay_url(ctx, policy=row.slug),
        }

    @form_page(
        gettext_lazy("New policy"), form=DraftForm, scope=Scope.POLICIES_WRITE, submit=gettext_lazy("Save as draft")
    )
    def new(self, call: Call, form: ConsoleForm) -> Done:
        document = one_document(form.cleaned_data["document"])
        if (chosen := form.cleaned_data["slug"]) and isinstance(document.value, dict):
            document = one_document(patched(form.cleaned_data["document"], {**document.value, "id": chosen}))
        slug = document.value.get("id") if isinstance(document.value, dict) else None
        if not isinstance(slug, str) or not ids.is_slug(slug):
            raise errors.DocumentInvalid("Name the policy: id: my_policy.")
        return _drafted(slug, document, call)

    @form_page(
        gettext_lazy("New draft"),
        form=DraftForm,
        scope=Scope.POLICIES_WRITE,
        of_row=True,
        submit=gettext_lazy("Save as draft"),
    )
    def new_draft(self, call: Call, form: ConsoleForm) -> Done:
        return _drafted(call.key, one_document(form.cleaned_data["document"]), call)


def _drafted(slug: str, document: Any, call: Call) -> Done:
    with with_lines(document):
        result = draft_policy_version(slug, document.value, ctx=replace(call.ctx, source=document.written))
    said = (
        _("A version with these contents already exists.")
        if result.change == "unchanged"
        else _("Version {number} was drafted.").format(number=result.row.number)
    )
    return Done(said, html.page_url("policies.policyversion", result.row.public_id))
