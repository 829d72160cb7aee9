"""Console pages of the members of a tenant."""

from __future__ import annotations

from itertools import combinations
from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import Http404
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext, gettext_lazy, ngettext
from django.utils.translation import gettext as _

from threada_site.admin import html
from threada_site.admin.actions import Call, Done, action
from threada_site.admin.forms import ConsoleForm, form_page
from threada_site.admin.lists import Column
from threada_site.admin.model_admin import TenantAdmin
from threada_site.admin.reauthentication import ALWAYS
from threada_site.admin.words import word
from threada_site.identity import selectors
from threada_site.identity.account_links import unused_link
from threada_site.identity.admin.account_links import link_shown, purpose_to_show
from threada_site.identity.admin.credentials import issuer_of
from threada_site.identity.admin.member_consequences import (
    END_ACCESS,
    END_SESSIONS,
    REMOVE,
    RESTORE_LINKS,
    WITHDRAW_INVITATION,
)
from threada_site.identity.admin.member_forms import (
    InviteAgainForm,
    MemberForm,
    ObjectScopesForm,
    OwnerForm,
    ResetFactorsForm,
    ResetForm,
    RolesForm,
    ShowLinkForm,
    roles_of,
    with_roles,
)
from threada_site.identity.admin.member_life import ends_in_words, life_of
from threada_site.identity.admission import add_principal
from threada_site.identity.console_sessions.ending import end_sessions_of
from threada_site.identity.departure.access import NOT_ENDED, end_access
from threada_site.identity.departure.restore import links_of, restore_identity_links
from threada_site.identity.departure.tell import advice_after
from threada_site.identity.dependence import confirm_account, last_confirmation, open_dependences, to_confirm
from threada_site.identity.factors.reset import reset_factors
from threada_site.identity.grants.object_grants import object_named, scopes_by_object, set_object_scopes
from threada_site.identity.grants.role_grants import set_roles
from threada_site.identity.invitations import invite_again, withdraw_invitation
from threada_site.identity.known_as import known_as, known_ids, member_named
from threada_site.identity.owners import set_owner, without_known_owner
from threada_site.identity.passwords import start_reset
from threada_site.identity.principals import remove_member
from threada_site.identity.stewardship import is_steward
from threada_site.kernel import errors, ids
from threada_site.kernel.context import ActingContext, PrincipalKind, Scope
from threada_site.tenancy.account_link_models import LinkPurpose
from threada_site.tenancy.authority_models import AccountDependence, DependenceReason
from threada_site.tenancy.four_eyes import stewards
from threada_site.tenancy.independence import are_independent, read_controllers
from threada_site.tenancy.models import IdentityLink, Membership, ProvisionedPerson, User


def _state_of(member: Membership) -> str:
    if not member.user.is_active:
        return "inactive"
    return "active" if member.accepted_at is not None else "invited"


@admin.register(Membership)
class MembershipAdmin(TenantAdmin):
    heading = gettext_lazy("Members")
    id_prefix = ids.PRINCIPAL
    key = "user__username"
    columns = (
        Column(gettext_lazy("Name"), lambda member: member.user.username),
        Column(gettext_lazy("Kind"), lambda member: word(member.user.kind)),
        Column(gettext_lazy("Roles"), lambda member: html.tags(roles_of(member)) or _("none"), is_wide=True),
        Column(gettext_lazy("State"), lambda member: html.badge(_state_of(member))),
        Column(gettext_lazy("Member since"), lambda member: html.when(member.created_at)),
    )
    search_hint = gettext_lazy("name begins with")
    about = gettext_lazy("People, services and agents that act in this tenant. Only votes of people count.")
    page_template = "identity/member.html"
    shows_edits = True

    def rows(self, ctx: ActingContext) -> QuerySet[Any]:
        return with_roles(Membership.objects.filter(tenant_id=ctx.tenant_id), tenant_id=ctx.tenant_id)

    def search(self, rows: QuerySet[Any], text: str) -> QuerySet[Any]:
        return rows.filter(user__username__startswith=text)

    def page_title(self, row: Membership) -> str:
        kind = _("person") if row.user.kind == PrincipalKind.HUMAN else word(row.user.kind)
        return f"{kind} {row.user.username}"

    def complete(self, rows: list[Any], *, ctx: ActingContext) -> None:
        """Add to each row the id by which the tenant knows the member. Runs statements only if somebody is invited."""
        invited = [row.user_id for row in rows if row.accepted_at is None]
        named = known_ids(invited, tenant_id=ctx.tenant_id) if invited else {}
        for row in rows:
            row.known_as = named.get(row.user_id, row.user.public_id)

    def key_of(self, row: Any) -> str:
        named: str = getattr(row, "known_as", "") or known_as(row.user, tenant_id=row.tenant_id)
        return named

    def find(self, key: str, *, ctx: ActingContext) -> Membership:
        parsed = member_named(key, tenant_id=ctx.tenant_id)
        member: Membership | None = self.rows(ctx).filter(user_id=parsed).first() if parsed else None
        if member is None:
            raise Http404("There is no such account in this tenant.")
        self.complete([member], ctx=ctx)
        return member

    def page(self, row: Membership, *, ctx: ActingContext) -> dict[str, Any]:
        steward = is_steward(ctx)
        is_own_or_steward = steward or row.user_id == ctx.principal_id
        permissions = selectors.permissions_of_principal(row.user_id, tenant_id=ctx.tenant_id)
        credentials = selectors.credentials_of_tenant(ctx.tenant_id).filter(user=row.user)
        links: list[IdentityLink] = []
        if is_own_or_steward and row.user.kind == PrincipalKind.HUMAN and row.accepted_at is not None:
            links = list(links_of(row.user, ctx=ctx))
        return {
            "principal": row.user,
            "known_as": self.key_of(row),
            "owner": row.owner,
            "groups": selectors.groups_of_member(row),
            "roles": roles_of(row),
            "scopes": sorted(scope.value for scope in permissions.scopes),
            "object_scopes": scopes_by_object(row.user, tenant_id=ctx.tenant_id),
            "credentials": [(one, issuer_of(one)) for one in credentials[:50]] if is_own_or_steward else None,
            "forms": self._forms_for(row, ctx=ctx) if steward else [],
            "state": _state_of(row),
            **(_account(row, ctx=ctx) if row.user.kind == PrincipalKind.HUMAN else _owned(row, ctx=ctx)),
            "may_see_history": is_own_or_steward,
            "may_end_sessions": steward
            and row.user.kind == PrincipalKind.HUMAN
            and row.accepted_at is not None
            and row.user_id != ctx.principal_id,
            "ended_links": [str(link.provider) for link in links if link.ended_at]
            if steward and row.accepted_at is not None and row.user_id != ctx.principal_id
            else [],
            "may_remove": steward and row.user_id != ctx.principal_id,
            "life": life_of(row, links, ctx=ctx) if is_own_or_steward and row.user.kind == PrincipalKind.HUMAN else [],
            "ends": ends_in_words(row.user, ctx=ctx) if steward else [],
        }

    def _forms_for(self, row: Membership, *, ctx: ActingContext) -> list[tuple[str, str]]:
        """Return the forms that apply to a member."""
        to_show = purpose_to_show(row.user, ctx=ctx)
        is_human, is_accepted = row.user.kind == PrincipalKind.HUMAN, row.accepted_at is not None
        hidden = {
            "change-owner": is_human,
            "invite-again": not is_human or is_accepted,
            "reset-password": not is_human or not is_accepted or row.user_id == ctx.principal_id,
            "reset-second-factors": not is_human or not is_accepted or row.user_id == ctx.principal_id,
            "show-reset-link": to_show is not LinkPurpose.RESET,
            "show-invitation-link": to_show is not LinkPurpose.INVITATION,
        }
        forms = self._forms(ctx, of_row=True, key=self.key_of(row))
        return [(url, title) for url, title in forms if not hidden.get(url.rstrip("/").rpartition("/")[2])]

    def notices(self, ctx: ActingContext) -> list[SafeString]:
        return steward_notices(ctx)

    @form_page(
        gettext_lazy("Add a member"),
        form=MemberForm,
        scope=Scope.WORKFLOW_MANAGE,
        submit=gettext_lazy("Add member"),
    )
    def new(self, call: Call, form: ConsoleForm) -> Done:
        said = form.cleaned_data
        principal = add_principal(
            said["name"],
            kind=PrincipalKind(said["kind"]),
            display_name=said["display_name"],
            email=said["email"],
            roles=said["roles"],
            owner=said["owner"],
            ctx=call.ctx,
        ).row
        page = html.page_url("tenancy.membership", known_as(principal, tenant_id=call.ctx.tenant_id))
        return link_shown(call, principal, LinkPurpose.INVITATION, page=page) or Done(
            gettext("{username} is now a member of the tenant.").format(username=principal.username), page
        )

    @form_page(gettext_lazy("Change roles"), form=RolesForm, scope=Scope.WORKFLOW_MANAGE, of_row=True)
    def change_roles(self, call: Call, form: ConsoleForm) -> Done:
        set_roles(form.row.user, form.cleaned_data["roles"], ctx=call.ctx)
        return Done(gettext("The roles are changed."))

    @form_page(
        gettext_lazy("Change scopes on an object"), form=ObjectScopesForm, scope=Scope.WORKFLOW_MANAGE, of_row=True
    )
    def change_object_scopes(self, call: Call, form: ConsoleForm) -> Done:
        kind, _, slug = form.cleaned_data["on"].partition(":")
        target = object_named(kind, slug, ctx=call.ctx)
        set_object_scopes(form.row.user, target, frozenset(map(Scope, form.cleaned_data["scopes"])), ctx=call.ctx)
        return Done(gettext("The scopes on the {kind} {slug} are changed.").format(kind=kind, slug=slug))

    @form_page(gettext_lazy("Change owner"), form=OwnerForm, scope=Scope.WORKFLOW_MANAGE, of_row=True)
    def change_owner(self, call: Call, form: ConsoleForm) -> Done:
        set_owner(form.row.user, form.cleaned_data["owner"], ctx=call.ctx)
        return Done(gettext("The owner is changed."))

    @form_page(
        gettext_lazy("Invite again"),
        form=InviteAgainForm,
        scope=Scope.WORKFLOW_MANAGE,
        of_row=True,
        submit=gettext_lazy("Create link"),
    )
    def invite_again(self, call: Call, form: ConsoleForm) -> Done:
        person = form.row.user
        invite_again(person, form.cleaned_data["email"], ctx=call.ctx)
        page = self.url_of(form.row)
        return link_shown(call, person, LinkPurpose.INVITATION, page=page) or Done(
            gettext("The invitation is on its way.")
        )

    @form_page(
        gettext_lazy("Reset password"),
        form=ResetForm,
        scope=Scope.WORKFLOW_MANAGE,
        of_row=True,
        submit=gettext_lazy("Propose reset"),
    )
    def reset_password(self, call: Call, form: ConsoleForm) -> Done:
        start_reset(form.row.user, ctx=call.ctx)
        return Done(gettext("The reset link can be shown."))

    @form_page(
        gettext_lazy("Reset second factors"),
        form=ResetFactorsForm,
        scope=Scope.WORKFLOW_MANAGE,
        of_row=True,
        submit=gettext_lazy("Propose reset"),
    )
    def reset_second_factors(self, call: Call, form: ConsoleForm) -> Done:
        reset_factors(form.row.user, ctx=call.ctx)
        return Done(gettext("The second factors are reset."))

    @form_page(
        gettext_lazy("Show reset link"),
        form=ShowLinkForm,
        scope=Scope.WORKFLOW_MANAGE,
        of_row=True,
        submit=gettext_lazy("Show link"),
    )
    def show_reset_link(self, call: Call, form: ConsoleForm) -> Done:
        return self._show_link(call, form.row, LinkPurpose.RESET)

    @form_page(
        gettext_lazy("Show invitation link"),
        form=ShowLinkForm,
        scope=Scope.WORKFLOW_MANAGE,
        of_row=True,
        submit=gettext_lazy("Show link"),
    )
    def show_invitation_link(self, call: Call, form: ConsoleForm) -> Done:
        return self._show_link(call, form.row, LinkPurpose.INVITATION)

    def _show_link(self, call: Call, row: Membership, purpose: LinkPurpose) -> Done:
        shown = link_shown(call, row.user, purpose, page=self.url_of(row))
        if shown is None:
            raise errors.NotFound
        return shown

    @action(Scope.WORKFLOW_MANAGE, confirm=WITHDRAW_INVITATION)
    def withdraw_invitation(self, call: Call) -> Done:
        """Withdraw an invitation that was not accepted."""
        withdraw_invitation(self.find(call.key, ctx=call.ctx).user, ctx=call.ctx)
        return Done(gettext("The invitation is withdrawn. Its link is not valid any more."))

    @action(Scope.WORKFLOW_MANAGE)
    def confirm(self, call: Call) -> Done:
        """Confirm that the person alone controls the account, or who owns the agent or service."""
        person = self.find(call.key, ctx=call.ctx).user
        confirm_account(person, external_id=call.sent("external_id"), ctx=call.ctx)
        if person.kind != PrincipalKind.HUMAN:
            return Done(gettext("The owner of {username} is confirmed.").format(username=person.username))
        return Done(
            gettext("The account of {username} is confirmed and depends on nobody.").format(username=person.username)
        )

    @action(Scope.WORKFLOW_MANAGE, confirm=END_SESSIONS)
    def end_sessions(self, call: Call) -> Done:
        """End all console sessions of a person."""
        person = self.find(call.key, ctx=call.ctx).user
        ended = end_sessions_of(person, ctx=call.ctx)
        return Done(
            ngettext("{number} session of {username} ended.", "{number} sessions of {username} ended.", ended).format(
                number=ended, username=person.username
            )
        )

    @action(Scope.WORKFLOW_MANAGE, step_up=ALWAYS, confirm=END_ACCESS)
    def end_access(self, call: Call) -> Done:
        """End everything through which the member can act."""
        principal = self.find(call.key, ctx=call.ctx).user
        ended = end_access(principal, ctx=call.ctx)
        number = sum(len(names) for noun, names in ended.items() if noun not in NOT_ENDED)
        return Done(
            ngettext(
                "{number} way in which {username} could act has ended.",
                "{number} ways in which {username} could act have ended.",
                number,
            ).format(number=number, username=principal.username)
        )

    @action(Scope.WORKFLOW_MANAGE, step_up=ALWAYS, confirm=RESTORE_LINKS)
    def restore_links(self, call: Call) -> Done:
        """Let the ended links of the member sign in again."""
        person = self.find(call.key, ctx=call.ctx).user
        named = ", ".join(str(link.provider) for link in restore_identity_links(person, ctx=call.ctx))
        return Done(gettext("{username} can sign in at {names} again.").format(username=person.username, names=named))

    @action(Scope.WORKFLOW_MANAGE, confirm=REMOVE)
    def remove(self, call: Call) -> Done:
        """Remove the membership with everything that it justified."""
        member = self.find(call.key, ctx=call.ctx)
        departure = remove_member(member.user, ctx=call.ctx)
        advice = advice_after(departure) if departure else ""
        return Done(f"{member.user.username} is no longer a member of the tenant. {advice}".strip(), self.list_url())


def _account(row: Membership, *, ctx: ActingContext) -> dict[str, Any]:
    """Return what the page says about the control of a person's account."""
    dependences = open_dependences(row.user_id, tenant_id=ctx.tenant_id)
    ended = last_confirmation(row.user_id, tenant_id=ctx.tenant_id)
    confirmer = User.objects.filter(id=ended.ended_by).first() if ended and ended.ended_by else None
    is_open = row.accepted_at is None and is_steward(ctx)
    involved = {row.user_id, *(one.depends_on_id for one in dependences)}
    about = ProvisionedPerson.objects.filter(tenant_id=ctx.tenant_id, user=row.user)
    provisioned = about.first() if dependences else None
    return {
        "external_id": provisioned.external_id if provisioned else "",
        "dependences": [(one.depends_on, _reason(one), one.created_at) for one in dependences],
        "confirmation": ended if not dependences else None,
        "confirmed_by": confirmer or (word(ended.ended_how) if ended else ""),
        "is_added_by_operator": row.added_by is None,
        "may_confirm": bool(dependences)
        and is_steward(ctx)
        and row.accepted_at is not None
        and ctx.principal_id not in involved,
        "invitation": unused_link(row.user, LinkPurpose.INVITATION, tenant_id=ctx.tenant_id) if is_open else None,
    }


def _reason(dependence: AccountDependence) -> str:
    """Return what the principal did who controls a person's account."""
    if dependence.reason == DependenceReason.LINKED and dependence.depends_on.kind != PrincipalKind.HUMAN:
        return gettext("gave the person another external id")
    return dependence.get_reason_display()


def _owned(row: Membership, *, ctx: ActingContext) -> dict[str, Any]:
    """Return what the page says about the control of an agent or a service: whether it is known, and who named owners.

    A steward may confirm a naming who is neither the owner nor one who named it.
    """
    namings = to_confirm(row.user, tenant_id=ctx.tenant_id)
    involved = {row.owner_id, *(one.depends_on_id for one in namings)}
    return {
        "is_unknown": without_known_owner(ctx.tenant_id).filter(id=row.id).exists(),
        "dependences": [(one.depends_on, one.get_reason_display(), one.created_at) for one in namings],
        "may_confirm": bool(namings) and is_steward(ctx) and ctx.is_person and ctx.principal_id not in involved,
    }


def steward_notices(ctx: ActingContext) -> list[SafeString]:
    """Return a notice for stewards if no two stewards are independent: what one person alone can and cannot do."""
    if not is_steward(ctx):
        return []
    found = stewards(ctx.tenant_id)
    controllers = read_controllers(ctx.tenant_id, found)
    if any(are_independent(one, other, controllers) for one, other in combinations(found, 2)):
        return []
    return [
        format_html(
            gettext(
                "This tenant has no two independent stewards. One person can change roles and members alone, and rules "
                "that require two people cannot be met by people whom you invited, until another steward, an identity "
                "provider or the operator ({}) confirms their accounts."
            ),
            html.code("manage.py confirm_account"),
        )
    ]
