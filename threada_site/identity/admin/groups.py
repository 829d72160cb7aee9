"""Console pages of groups."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin
from django.db.models import QuerySet
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from threada_site.admin import html
from threada_site.admin.actions import Call, Done
from threada_site.admin.forms import ConsoleForm, form_page
from threada_site.admin.lists import Column
from threada_site.admin.model_admin import TenantAdmin
from threada_site.identity import selectors
from threada_site.identity.groups import define_group
from threada_site.identity.known_as import with_known_ids
from threada_site.identity.stewardship import is_steward
from threada_site.kernel import errors
from threada_site.kernel.context import ActingContext, Scope
from threada_site.tenancy.models import PeopleGroup

_SHOWN = 200


class GroupForm(ConsoleForm):
    intro = gettext_lazy("Approval rules can name groups. A group gives no permissions.")
    slug = forms.CharField(label=gettext_lazy("Id"), max_length=63, help_text=gettext_lazy("a to z, 0 to 9, - and _"))
    name = forms.CharField(
        label=gettext_lazy("Name"), max_length=200, required=False, help_text=gettext_lazy("Label for people.")
    )
    members = forms.CharField(
        label=gettext_lazy("Members"),
        required=False,
        widget=forms.Textarea({"rows": 12, "spellcheck": "false", "autocomplete": "off"}),
        help_text=gettext_lazy("Names of members of this tenant, separated by spaces, commas or new lines."),
    )

    def prepare(self) -> None:
        if self.row is not None:
            del self.fields["slug"]
            names = selectors.group_members(self.row).values_list("username", flat=True)
            self.initial = {"name": self.row.name, "members": "\n".join(names)}


@admin.register(PeopleGroup)
class PeopleGroupAdmin(TenantAdmin):
    heading = gettext_lazy("Groups")
    columns = (
        Column(gettext_lazy("Group"), lambda group: group.slug),
        Column(gettext_lazy("Name"), lambda group: group.name or html.NOTHING, is_wide=True),
    )
    about = gettext_lazy(
        "Named sets of members for approval rules. Groups give no permissions; roles do. Groups that a provisioning "
        "client maintains are changed there."
    )
    nothing_yet = gettext_lazy("There are no groups. Create one here or apply a document of kind Group.")
    page_template = "identity/group.html"

    def rows(self, ctx: ActingContext) -> QuerySet[Any]:
        return selectors.groups_of_tenant(ctx.tenant_id)

    def page(self, row: PeopleGroup, *, ctx: ActingContext) -> dict[str, Any]:
        members = list(selectors.group_members(row)[: _SHOWN + 1])
        return {
            "members": with_known_ids(members[:_SHOWN], tenant_id=ctx.tenant_id),
            "are_more": len(members) > _SHOWN,
            "forms": self._forms(ctx, of_row=True, key=row.slug) if is_steward(ctx) and not row.source else [],
        }

    @form_page(
        gettext_lazy("New group"), form=GroupForm, scope=Scope.WORKFLOW_MANAGE, submit=gettext_lazy("Create group")
    )
    def new(self, call: Call, form: ConsoleForm) -> Done:
        slug = form.cleaned_data["slug"]
        if selectors.groups_of_tenant(call.ctx.tenant_id).filter(slug=slug).exists():
            raise errors.Conflict(f"The group {slug} already exists. Open it to change it.")
        self._define(slug, call, form)
        return Done(_("The group {slug} was created.").format(slug=slug), html.page_url("tenancy.peoplegroup", slug))

    @form_page(gettext_lazy("Change members"), form=GroupForm, scope=Scope.WORKFLOW_MANAGE, of_row=True)
    def change_members(self, call: Call, form: ConsoleForm) -> Done:
        self._define(call.key, call, form)
        return Done(_("The group is changed."))

    def _define(self, slug: str, call: Call, form: ConsoleForm) -> None:
        names = form.cleaned_data["members"].replace(",", " ").split()
        define_group(slug, names, name=form.cleaned_data["name"], ctx=call.ctx)
