"""Console pages of packs: list, contents, installation and removal."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin
from django.db.models import QuerySet
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from policies import selectors
from policies.models import Pack
from threada_site.admin import html
from threada_site.admin.actions import Call, Done, action
from threada_site.admin.confirmation import Confirmation, Effects
from threada_site.admin.documents import as_yaml, one_document
from threada_site.admin.forms import ConsoleForm, DocumentArea, form_page
from threada_site.admin.lists import Column
from threada_site.admin.model_admin import TenantAdmin
from threada_site.kernel.context import ActingContext, Scope
from workitems.admin.gallery import GalleryPages
from workitems.configuration.packs import install_pack, remove_pack

_NEW = """\
kind: Pack
id: my_pack
spec:
  name: My pack
  version: "1.0.0"
  documents:
    - kind: Channel
      id: my_channel
"""
_PAGES = {
    "Channel": "policies.channel",
    "List": "policies.list",
    "Workflow": "policies.workflow",
    "Integration": "integrations.integration",
    "Policy": "policies.policy",
}
_SHOWN = 50


class PackForm(ConsoleForm):
    intro = gettext_lazy(
        "All documents take effect together, or none does. Documents that only the previous version contained are "
        "removed unless something still uses them."
    )
    document = forms.CharField(label=gettext_lazy("Document (YAML or JSON)"), strip=False, widget=DocumentArea("Pack"))

    def prepare(self) -> None:
        self.initial = {"document": _text(self.row) if self.row else _NEW}


def _removing(admin: Any, call: Call) -> Effects:
    pack = admin.find(call.key, ctx=call.ctx)
    members = [f"{member.kind} {member.name}" for member in pack.members.order_by("kind", "name")[:_SHOWN]]
    return Effects(
        [
            _("The pack %(name)s is removed.") % {"name": pack.slug},
            *[_("Removed with it, unless something still uses it: %(name)s.") % {"name": member} for member in members],
        ]
    )


REMOVE = Confirmation(gettext_lazy("Remove pack"), _removing)


@admin.register(Pack)
class PackAdmin(GalleryPages, TenantAdmin):
    columns = (
        Column(gettext_lazy("Pack"), lambda pack: pack.slug),
        Column(gettext_lazy("Name"), lambda pack: pack.name or html.NOTHING, is_wide=True),
        Column(gettext_lazy("Version"), lambda pack: pack.current_version.label),
        Column(gettext_lazy("Installed"), lambda pack: html.when(pack.current_version.created_at)),
    )
    about = gettext_lazy(
        "Bundles of workflows, channels, lists, integrations, policies and overlays for one kind of case."
    )
    nothing_yet = gettext_lazy("No pack is installed. Choose one in the gallery, or install your own.")
    page_template = "workitems/pack.html"
    shows_edits = True

    def rows(self, ctx: ActingContext) -> QuerySet[Any]:
        return selectors.packs(ctx)

    def page(self, row: Pack, *, ctx: ActingContext) -> dict[str, Any]:
        members = row.members.order_by("kind", "name")
        return {
            "members": [(member, _PAGES.get(member.kind, "")) for member in members],
            "versions": row.versions.defer("spec").order_by("-number")[:_SHOWN],
            "document": _text(row),
            "overlays": selectors.overlays(ctx).filter(scope_kind="pack", scope_slug=row.slug)[:_SHOWN],
            "may_remove": ctx.allows(Scope.WORKFLOW_MANAGE),
        }

    @form_page(
        gettext_lazy("Install a pack"), form=PackForm, scope=Scope.WORKFLOW_MANAGE, submit=gettext_lazy("Install pack")
    )
    def new(self, call: Call, form: ConsoleForm) -> Done:
        return self._install(call, form)

    @form_page(
        gettext_lazy("Install another version"),
        form=PackForm,
        scope=Scope.WORKFLOW_MANAGE,
        of_row=True,
        submit=gettext_lazy("Install pack"),
    )
    def upgrade(self, call: Call, form: ConsoleForm) -> Done:
        return self._install(call, form)

    @action(Scope.WORKFLOW_MANAGE, confirm=REMOVE)
    def remove(self, call: Call) -> Done:
        gone = remove_pack(call.key, ctx=call.ctx)
        return Done(
            _("The pack {key} is removed, with {number} of its documents.").format(key=call.key, number=len(gone)),
            self.list_url(),
        )

    def _install(self, call: Call, form: ConsoleForm) -> Done:
        document = one_document(form.cleaned_data["document"])
        done = install_pack(document, ctx=call.ctx)
        changed = sum(entry.change != "unchanged" for entry in done.applied) + len(done.removed)
        pack = selectors.pack_by_slug(document.value["id"], ctx=call.ctx)
        return Done(_("The pack is installed: {changed} changes.").format(changed=changed), self.url_of(pack))


def _text(pack: Pack) -> str:
    spec = pack.current_version.spec if pack.current_version else {}
    return as_yaml({"kind": "Pack", "id": pack.slug, "spec": spec})
