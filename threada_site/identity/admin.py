"""The console's pages of access: who belongs to the tenant, which roles they hold, which tokens speak for them."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django import forms
from django.contrib import admin
from django.contrib.auth.models import Group
from django.db.models import Prefetch, QuerySet
from django.http import Http404

from threada_site.admin import html
from threada_site.admin.acts import Call, Done, act
from threada_site.admin.forms import ConsoleForm, form_page
from threada_site.admin.lists import Column
from threada_site.admin.model_admin import TenantAdmin
from threada_site.identity import selectors, services
from threada_site.identity.stewardship import is_steward
from threada_site.kernel import errors, ids
from threada_site.kernel.context import ActingContext, PrincipalKind, Scope
from threada_site.tenancy.models import Credential, Membership, Role

_SCOPES = [(scope.value, scope.value) for scope in Scope]


def _roles_of(member: Membership) -> list[str]:
    return sorted(group.role.slug for group in member.user.groups.all())


class PersonForm(ConsoleForm):
    intro = (
        "Adds a principal to this tenant. A name that another tenant's principal holds is taken. A password is set "
        "only for a person who has none: with it they sign in here, and change it."
    )
    name = forms.CharField(label="Name", max_length=63, help_text="a to z, 0 to 9, - and _; unique in the instance.")
    kind = forms.ChoiceField(label="Kind", choices=[(kind.value, kind.value) for kind in PrincipalKind])
    display_name = forms.CharField(label="Display name", max_length=200, required=False)
    roles = forms.MultipleChoiceField(label="Roles", required=False, widget=forms.CheckboxSelectMultiple)
    password = forms.CharField(
        label="First password",
        required=False,
        strip=False,
        widget=forms.PasswordInput({"autocomplete": "new-password"}),
        help_text="For a person without one, at least 12 characters. Services and agents hold credentials instead.",
    )

    def prepare(self) -> None:
        slugs = selectors.roles_of_tenant(self.ctx.tenant_id).values_list("slug", flat=True)
        self.fields["roles"].choices = [(slug, slug) for slug in slugs]  # type: ignore[attr-defined]


class RolesForm(ConsoleForm):
    intro = "Rights follow at once, also those of tokens that are in use."
    roles = forms.MultipleChoiceField(label="Roles", required=False, widget=forms.CheckboxSelectMultiple)

    def prepare(self) -> None:
        slugs = selectors.roles_of_tenant(self.ctx.tenant_id).values_list("slug", flat=True)
        self.fields["roles"].choices = [(slug, slug) for slug in slugs]  # type: ignore[attr-defined]
        self.initial = {"roles": _roles_of(self.row)}


@admin.register(Membership)
class MembershipAdmin(TenantAdmin):
    heading = "People"
    id_prefix = ids.PRINCIPAL
    key = "user__username"
    columns = (
        Column("Name", lambda member: member.user.username),
        Column("Kind", lambda member: member.user.kind),
        Column("Roles", lambda member: html.tags(_roles_of(member)) or "none", is_wide=True),
        Column("State", lambda member: html.badge("active" if member.user.is_active else "inactive")),
        Column("Member since", lambda member: html.when(member.created_at)),
    )
    search_hint = "name begins with"
    about = "Who acts in this tenant: people, services and agents. Only people's decisions are counted."
    page_template = "identity/person.html"
    shows_edits = True

    def rows(self, ctx: ActingContext) -> QuerySet[Any]:
        groups = Group.objects.filter(role__tenant_id=ctx.tenant_id).select_related("role")
        rows = Membership.objects.filter(tenant_id=ctx.tenant_id).select_related("user")
        return rows.prefetch_related(Prefetch("user__groups", queryset=groups))

    def search(self, rows: QuerySet[Any], text: str) -> QuerySet[Any]:
        return rows.filter(user__username__startswith=text)

    def page_title(self, row: Membership) -> str:
        return f"{'person' if row.user.kind == PrincipalKind.HUMAN else row.user.kind} {row.user.username}"

    def key_of(self, row: Membership) -> str:
        return row.user.public_id

    def find(self, key: str, *, ctx: ActingContext) -> Membership:
        parsed = ids.parse_public_id(ids.PRINCIPAL, key)
        member: Membership | None = self.rows(ctx).filter(user_id=parsed).first() if parsed else None
        if member is None:
            raise Http404("There is no such principal in this tenant.")
        return member

    def page(self, row: Membership, *, ctx: ActingContext) -> dict[str, Any]:
        steward = is_steward(ctx)
        rights = selectors.rights_of_principal(row.user_id, tenant_id=ctx.tenant_id)
        credentials = selectors.credentials_of_tenant(ctx.tenant_id).filter(user=row.user)
        return {
            "person": row.user,
            "roles": _roles_of(row),
            "scopes": sorted(scope.value for scope in rights.scopes),
            "credentials": credentials[:50] if steward or row.user_id == ctx.principal_id else None,
            "forms": self._forms(ctx, of_row=True, key=row.user.public_id) if steward else [],
            "may_remove": steward and row.user_id != ctx.principal_id,
        }

    @form_page("Add a principal", form=PersonForm, scope=Scope.WORKFLOW_MANAGE, submit="Add")
    def new(self, call: Call, form: ConsoleForm) -> Done:
        said = form.cleaned_data
        principal = services.ensure_principal(
            said["name"], kind=PrincipalKind(said["kind"]), display_name=said["display_name"], ctx=call.ctx
        )
        services.add_member(principal, ctx=call.ctx)
        for role in said["roles"]:
            services.grant_role(principal, role, ctx=call.ctx)
        if said["password"]:
            if principal.has_usable_password():
                raise errors.Conflict(f"{principal.username} exists already and keeps their password. Leave it empty.")
            services.set_password(principal, said["password"], ctx=call.ctx)
        return Done(
            f"{principal.username} belongs to the tenant.", html.page_url("tenancy.membership", principal.public_id)
        )

    @form_page("Change roles", form=RolesForm, scope=Scope.WORKFLOW_MANAGE, of_row=True)
    def change_roles(self, call: Call, form: ConsoleForm) -> Done:
        asked, held = set(form.cleaned_data["roles"]), set(_roles_of(form.row))
        for role in sorted(asked - held):
            services.grant_role(form.row.user, role, ctx=call.ctx)
        for role in sorted(held - asked):
            services.withdraw_role(form.row.user, role, ctx=call.ctx)
        return Done("The roles are changed.")

    @act(Scope.WORKFLOW_MANAGE)
    def remove(self, call: Call) -> Done:
        """End the membership, its roles and its credentials."""
        member = self.find(call.key, ctx=call.ctx)
        services.remove_member(member.user, ctx=call.ctx)
        return Done(f"{member.user.username} no longer belongs to the tenant.", self.list_url())


class RoleForm(ConsoleForm):
    intro = "Whoever holds the role holds these scopes on the whole tenant, from this moment on."
    slug = forms.CharField(label="Id", max_length=63, help_text="a to z, 0 to 9, - and _")
    scopes = forms.MultipleChoiceField(
        label="Scopes", required=False, choices=_SCOPES, widget=forms.CheckboxSelectMultiple
    )

    def prepare(self) -> None:
        if self.row is not None:
            del self.fields["slug"]
            held = selectors.role_scopes(self.row.slug, tenant_id=self.ctx.tenant_id) or frozenset()
            self.initial = {"scopes": [scope.value for scope in held]}


@admin.register(Role)
class RoleAdmin(TenantAdmin):
    columns = (
        Column("Role", lambda role: role.slug),
        Column("Scopes", lambda role: html.tags(role_scope_names(role)) or "none", is_wide=True),
    )
    about = "Bundles of scopes. Approval rules ask for people by role; a credential never holds more than its roles."
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
            "holders": holders[:200],
            "forms": self._forms(ctx, of_row=True, key=row.slug) if is_steward(ctx) else [],
        }

    @form_page("New role", form=RoleForm, scope=Scope.WORKFLOW_MANAGE, submit="Make the role")
    def new(self, call: Call, form: ConsoleForm) -> Done:
        slug = form.cleaned_data["slug"]
        if Role.objects.filter(tenant_id=call.ctx.tenant_id, slug=slug).exists():
            raise errors.Conflict(f"There is a role {slug} already. Open it to change it.")
        services.define_role(slug, frozenset(map(Scope, form.cleaned_data["scopes"])), ctx=call.ctx)
        return Done(f"The role {slug} is made.", html.page_url("tenancy.role", slug))

    @form_page("Change scopes", form=RoleForm, scope=Scope.WORKFLOW_MANAGE, of_row=True)
    def change_scopes(self, call: Call, form: ConsoleForm) -> Done:
        services.define_role(call.key, frozenset(map(Scope, form.cleaned_data["scopes"])), ctx=call.ctx)
        return Done("The scopes are changed.")


def role_scope_names(role: Role) -> list[str]:
    """The scopes a role holds on its tenant, from rows that are loaded already."""
    held = {
        grant.permission.codename
        for grant in role.group.groupobjectpermission_set.all()
        if grant.object_pk == str(role.tenant_id)
    }
    return [scope.value for scope in Scope if scope.codename in held]


class CredentialForm(ConsoleForm):
    intro = "A token of a principal. It is shown once; it never holds more than its principal's roles give."
    principal = forms.ChoiceField(label="Principal")
    label = forms.CharField(label="Label", max_length=200, required=False, help_text="What it is for.")
    scopes = forms.MultipleChoiceField(label="Scopes", choices=_SCOPES, widget=forms.CheckboxSelectMultiple)
    days = forms.IntegerField(label="Valid for days", min_value=1, max_value=3660, initial=90)

    def prepare(self) -> None:
        people = selectors.principals_of_tenant(self.ctx.tenant_id).filter(is_active=True)
        if not is_steward(self.ctx):
            people = people.filter(id=self.ctx.principal_id)
        self.fields["principal"].choices = [  # type: ignore[attr-defined]
            (user.username, f"{user.username} ({user.kind})") for user in people[:1000]
        ]


@admin.register(Credential)
class CredentialAdmin(TenantAdmin):
    id_prefix = ids.CREDENTIAL
    key = "-id"
    columns = (
        Column("Credential", lambda row: html.code(f"{row.hint}…")),
        Column("State", lambda row: html.badge(state_of(row))),
        Column("Principal", lambda row: row.user.username),
        Column("Label", lambda row: row.label or html.NOTHING, is_wide=True),
        Column("Expires", lambda row: html.when(row.expires_at) or "never"),
        Column("Last used", lambda row: html.when(row.last_used_at) or "never"),
    )
    about = "Tokens of this tenant, known by their first characters: the rest of them is kept nowhere."
    nothing_yet = "No token has been issued that you may see."
    page_template = "identity/credential.html"
    shows_edits = True

    def rows(self, ctx: ActingContext) -> QuerySet[Any]:
        rows = selectors.credentials_of_tenant(ctx.tenant_id)
        return rows if is_steward(ctx) else rows.filter(user_id=ctx.principal_id)

    def page(self, row: Credential, *, ctx: ActingContext) -> dict[str, Any]:
        return {"state": state_of(row), "may_revoke": row.revoked_at is None}

    @form_page("Issue a credential", form=CredentialForm, scope=None, submit="Issue it")
    def issue(self, call: Call, form: ConsoleForm) -> Done:
        said = form.cleaned_data
        principal = selectors.principal_of_tenant(call.ctx.tenant_id, said["principal"])
        if principal is None:
            raise errors.InvalidRequest("There is no such principal in this tenant.")
        issued = services.issue_credential(
            principal=principal,
            scopes=said["scopes"],
            label=said["label"],
            expires_in=timedelta(days=said["days"]),
            ctx=call.ctx,
        )
        shows = {
            "secret": issued.token,
            "advice": f"Send it as Authorization: Bearer … It speaks for {principal.username}.",
            "onward": self.url_of(issued.credential),
        }
        return Done("The credential is issued", shows=shows)

    @act(None)
    def revoke(self, call: Call) -> Done:
        parsed = ids.parse_public_id(ids.CREDENTIAL, call.key)
        credential = self.rows(call.ctx).filter(id=parsed).first() if parsed else None
        if credential is None:
            raise errors.NotFound
        services.revoke_credential(credential, ctx=call.ctx)
        return Done("The credential is revoked. Requests that carry it are refused from now on.")


def state_of(row: Credential) -> str:
    """What a credential is good for now: `live`, `expired` or `revoked`."""
    if row.revoked_at is not None:
        return "revoked"
    return "live" if row.is_live else "expired"
