"""Console pages of roles."""

from __future__ import annotations

from typing import Any, Final

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
from threada_site.identity.known_as import with_known_ids
from threada_site.identity.roles import define_role, set_role_require_mfa, set_role_visibility
from threada_site.identity.stewardship import is_steward
from threada_site.kernel import errors
from threada_site.kernel.context import ActingContext, Scope, Visibility
from threada_site.tenancy.models import Role

_SEES = {
    Visibility.TENANT.value: gettext_lazy("all work items of the tenant"),
    Visibility.OWN.value: gettext_lazy("their own work items, and those that name them"),
}
_VALUES: Final[dict[str, bool | None]] = {"default": None, "required": True, "optional": False}
_REQUIRES: Final = {
    "default": gettext_lazy("required if the role can decide"),
    "required": "required",
    "optional": gettext_lazy("not required by this role"),
}
SCOPE_CHOICES = [(scope.value, scope.value) for scope in Scope]


class RoleForm(ConsoleForm):
    intro = gettext_lazy("Members with the role immediately get these scopes on the whole tenant.")
    slug = forms.CharField(label=gettext_lazy("Id"), max_length=63, help_text=gettext_lazy("a to z, 0 to 9, - and _"))
    scopes = forms.MultipleChoiceField(
        label=gettext_lazy("Scopes"), required=False, choices=SCOPE_CHOICES, widget=forms.CheckboxSelectMultiple
    )

    def prepare(self) -> None:
        if self.row is not None:
            del self.fields["slug"]
            granted = selectors.role_scopes(self.row.slug, tenant_id=self.ctx.tenant_id) or frozenset()
            self.initial = {"scopes": [scope.value for scope in granted]}


class VisibilityForm(ConsoleForm):
    intro = gettext_lazy(
        "Members see what the widest of their roles shows. Object grants on workflows add the cases of these."
    )
    visibility = forms.ChoiceField(label=gettext_lazy("Members see"), choices=list(_SEES.items()))

    def prepare(self) -> None:
        self.initial = {"visibility": self.row.visibility}


class SecondFactorForm(ConsoleForm):
    intro = gettext_lazy(
        "Applies where the tenant requires second factors, which the operator of the instance sets. People with the "
        "role who have none then reach nothing but the enrolment."
    )
    require_mfa = forms.ChoiceField(label=gettext_lazy("Second factor"), choices=list(_REQUIRES.items()))

    def prepare(self) -> None:
        self.initial = {"require_mfa": {value: key for key, value in _VALUES.items()}[self.row.require_mfa]}


@admin.register(Role)
class RoleAdmin(TenantAdmin):
    columns = (
        Column(gettext_lazy("Role"), lambda role: role.slug),
        Column(gettext_lazy("Members see"), lambda role: _SEES[role.visibility]),
        Column(gettext_lazy("Scopes"), lambda role: html.tags(role_scope_names(role)) or "none", is_wide=True),
    )
    about = gettext_lazy(
        "Named sets of scopes. Approval rules can name roles. Credentials never exceed the roles of their holder."
    )
    page_template = "identity/role.html"
    shows_edits = True

    def rows(self, ctx: ActingContext) -> QuerySet[Any]:
        return Role.objects.filter(tenant_id=ctx.tenant_id).prefetch_related(
            "group__groupobjectpermission_set__permission"
        )

    def page(self, row: Role, *, ctx: ActingContext) -> dict[str, Any]:
        holders = selectors.principals_of_tenant(ctx.tenant_id).filter(groups__id=row.group_id)
        return {
            "scopes": role_scope_names(row),
            "sees": _SEES[row.visibility],
            "holders": with_known_ids(holders[:200], tenant_id=ctx.tenant_id),
            "forms": self._forms(ctx, of_row=True, key=row.slug) if is_steward(ctx) else [],
        }

    @form_page(gettext_lazy("New role"), form=RoleForm, scope=Scope.WORKFLOW_MANAGE, submit=gettext_lazy("Create role"))
    def new(self, call: Call, form: ConsoleForm) -> Done:
        slug = form.cleaned_data["slug"]
        if Role.objects.filter(tenant_id=call.ctx.tenant_id, slug=slug).exists():
            raise errors.Conflict(f"The role {slug} already exists. Open it to change it.")
        define_role(slug, frozenset(map(Scope, form.cleaned_data["scopes"])), ctx=call.ctx)
        return Done(_("The role {slug} was created.").format(slug=slug), html.page_url("tenancy.role", slug))

    @form_page(gettext_lazy("Change scopes"), form=RoleForm, scope=Scope.WORKFLOW_MANAGE, of_row=True)
    def change_scopes(self, call: Call, form: ConsoleForm) -> Done:
        define_role(call.key, frozenset(map(Scope, form.cleaned_data["scopes"])), ctx=call.ctx)
        return Done(_("The scopes are changed."))

    @form_page(gettext_lazy("Change visibility"), form=VisibilityForm, scope=Scope.WORKFLOW_MANAGE, of_row=True)
    def change_visibility(self, call: Call, form: ConsoleForm) -> Done:
        set_role_visibility(call.key, Visibility(form.cleaned_data["visibility"]), ctx=call.ctx)
        return Done(_("The visibility is changed."))

    @form_page(gettext_lazy("Change second factor"), form=SecondFactorForm, scope=Scope.WORKFLOW_MANAGE, of_row=True)
    def change_second_factor(self, call: Call, form: ConsoleForm) -> Done:
        set_role_require_mfa(call.key, _VALUES[form.cleaned_data["require_mfa"]], ctx=call.ctx)
        return Done(_("The requirement is changed."))


def role_scope_names(role: Role) -> list[str]:
    """Return the scopes of a role on its tenant, from rows that are loaded already."""
    granted = {
        grant.permission.codename
        for grant in role.group.groupobjectpermission_set.all()
        if grant.object_pk == str(role.tenant_id)
    }
    return [scope.value for scope in Scope if scope.codename in granted]
