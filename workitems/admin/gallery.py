"""Console pages of the gallery: its packs, one pack with its form and rules, installation, sample requests."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, Final

from django.http import Http404, HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST, require_safe

from integrations.configuration.simulation import is_enabled
from integrations.selectors import configured_integrations
from policies import selectors
from policies.deciding.explanation import people_sentence
from policies.language.approvals import parse_approvals, to_json
from threada_site.admin import html
from threada_site.admin.actions import ActionSpec, Call, Done, Handler, press
from threada_site.admin.model_admin import TenantAdmin, context_of
from threada_site.identity.stewardship import is_steward
from threada_site.kernel.context import ActingContext, Scope
from threada_site.kernel.errors import NotFound
from workitems.gallery.catalogue import GalleryPack, gallery, gallery_pack
from workitems.gallery.installation import Plan, install_from_gallery, plan_installation
from workitems.gallery.samples import request_sample

_NAME: Final = "policies_pack"

if TYPE_CHECKING:
    _Base = TenantAdmin
else:
    _Base = object


class GalleryPages(_Base):
    """The gallery, below the list of packs."""

    def get_urls(self) -> list[URLPattern]:
        return [
            path("gallery/", self._wrap(require_safe(self.gallery_view)), name=f"{_NAME}_gallery"),
            *super().get_urls(),
            path("gallery/<str:pack_id>/", self._wrap(require_safe(self.pack_view)), name=f"{_NAME}_in_gallery"),
            path(
                "gallery/<str:pack_id>/install/",
                self._own(require_POST(self.install_view)),
                name=f"{_NAME}_install",
            ),
            path(
                "gallery/<str:pack_id>/samples/<int:number>/",
                self._own(require_POST(self.sample_view)),
                name=f"{_NAME}_sample",
            ),
        ]

    def _forms(self, ctx: ActingContext, *, of_row: bool, key: str = "") -> list[tuple[str, str]]:
        found = super()._forms(ctx, of_row=of_row, key=key)
        return found if of_row else [(reverse(f"admin:{_NAME}_gallery"), _("Open the gallery")), *found]

    def gallery_view(self, request: HttpRequest) -> HttpResponse:
        ctx = self._require_view(request)
        versions = {row.slug: row.current_version.label for row in selectors.packs(ctx) if row.current_version}
        cards = [(pack, versions.get(pack.id, ""), _page_of(pack)) for pack in gallery()]
        return self._page(request, "workitems/gallery.html", _("Gallery"), {"cards": cards})

    def pack_view(self, request: HttpRequest, pack_id: str) -> HttpResponse:
        ctx = self._require_view(request)
        pack = _found(pack_id)
        plan = plan_installation(pack, ctx=ctx)
        context = {
            "pack": pack,
            "plan": plan,
            "fields": list(_fields(pack.payload_schema)),
            "rules": [(rule, _people(rule)) for rule in pack.rules],
            "obstacle": _obstacle(pack, plan, ctx=ctx),
            "pages": _pages(pack, ctx=ctx) if plan.installed else [],
            "may_try": ctx.has_scope_anywhere(Scope.WORKITEMS_WRITE) and ctx.has_scope_anywhere(Scope.ACTIONS_EXECUTE),
        }
        return self._page(request, "workitems/gallery_pack.html", pack.name, context)

    def install_view(self, request: HttpRequest, pack_id: str) -> HttpResponse:
        pack = _found(pack_id)

        def install(call: Call) -> Done:
            replaces = call.sent("replaces") == "yes"
            install_from_gallery(pack, ctx=call.ctx, plan_digest=call.sent("plan"), replaces=replaces)
            return Done(_("The pack %(name)s is installed. Send a sample request to try it.") % {"name": pack.name})

        return self._press(request, ActionSpec("install", Scope.WORKFLOW_MANAGE), install, back=_page_of(pack))

    def sample_view(self, request: HttpRequest, pack_id: str, number: int) -> HttpResponse:
        pack = _found(pack_id)

        def send(call: Call) -> Done:
            item = request_sample(pack, number, ctx=call.ctx).item
            return Done(_("The sample request was sent."), html.page_url("workitems.workitem", item.public_id))

        return self._press(request, ActionSpec("sample", Scope.WORKITEMS_WRITE), send, back=_page_of(pack))

    def _press(self, request: HttpRequest, spec: ActionSpec, handler: Handler, *, back: str) -> HttpResponse:
        return press(Call(request, context_of(request), ""), spec, handler, back=back)

    def _page(self, request: HttpRequest, template: str, title: str, context: dict[str, Any]) -> HttpResponse:
        frame = {
            **self.admin_site.each_context(request),
            "title": title,
            "opts": None,
            "list_title": self.list_title,
            "list_url": self.list_url(),
            "gallery_url": reverse(f"admin:{_NAME}_gallery"),
        }
        return TemplateResponse(request, template, {**frame, **context})


def _found(pack_id: str) -> GalleryPack:
    try:
        return gallery_pack(pack_id)
    except NotFound as missing:
        raise Http404(missing.detail) from None


def _page_of(pack: GalleryPack) -> str:
    return reverse(f"admin:{_NAME}_in_gallery", args=[pack.id])


def _pages(pack: GalleryPack, *, ctx: ActingContext) -> list[tuple[str, str]]:
    """Return titles and URLs of the pages of an installed pack that the reader may open."""
    policy = next(value["id"] for value in pack.contents if value["kind"] == "Policy")
    found = [
        (_("Workflow"), html.page_url("policies.workflow", pack.workflow)),
        (_("Policy"), html.page_url("policies.policy", policy)),
        (_("Pack"), html.page_url("policies.pack", pack.id)),
    ]
    if configured_integrations(ctx).filter(slug=pack.integration).exists():
        found.insert(2, (_("Integration"), html.page_url("integrations.integration", pack.integration)))
    if ctx.is_person and ctx.has_scope_anywhere(Scope.WORKITEMS_WRITE):
        found.insert(0, (_("Request form"), reverse("admin:request_form", args=[pack.workflow])))
    return found


def _obstacle(pack: GalleryPack, plan: Plan, *, ctx: ActingContext) -> str:
    """Return why the reader cannot install the pack; empty if nothing prevents it."""
    if not ctx.allows(Scope.WORKFLOW_MANAGE):
        return _("Your roles do not let you install packs. Ask a person who manages workflows.")
    if pack.is_simulated and not is_enabled("mock"):
        return _("The operator of the instance has disabled simulated systems, which this pack uses.")
    missing = [planned.name for planned in plan.changes if planned.kind == "Role"]
    if missing and not is_steward(ctx):
        return _(
            "The pack needs the roles %(roles)s, which only a steward may create. Ask a steward to install it."
        ) % {"roles": ", ".join(missing)}
    return ""


def _people(rule: Mapping[str, Any]) -> str:
    """Return how many people must agree, as a sentence; empty if the rule requires no approval."""
    if "approvals" not in rule:
        return ""
    return people_sentence(to_json(parse_approvals(dict(rule["approvals"]), pointer="/approvals")))


def _fields(schema: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield the fields of the form: label, description, choices, and whether the field is required."""
    for name, part in schema["properties"].items():
        choices = [choice.get("title", choice["const"]) for choice in part.get("oneOf", [])] or part.get("enum", [])
        yield {
            "label": part.get("title", name),
            "description": part.get("description", ""),
            "choices": choices,
            "type": part.get("type", ""),
            "is_required": name in schema.get("required", ()),
        }
