"""Console pages of agents and services."""

from __future__ import annotations

from typing import Any, Final

from django.contrib import admin
from django.db.models import Max, QuerySet
from django.http import Http404, HttpRequest
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from integrations.freezes.block import freezes_in_force
from integrations.freezes.scope import FreezeScope
from integrations.models import Freeze
from threada_site.admin import html
from threada_site.admin.actions import Call, Done, action
from threada_site.admin.confirmation import REASON, Confirmation, Effects
from threada_site.admin.lists import Column
from threada_site.admin.model_admin import TenantAdmin
from threada_site.admin.words import word
from threada_site.identity import selectors
from threada_site.identity.admin.credentials import state_of
from threada_site.identity.admin.member_forms import roles_of, with_roles
from threada_site.identity.grants.object_grants import scopes_by_object
from threada_site.identity.stewardship import is_steward
from threada_site.kernel import ids
from threada_site.kernel.context import ActingContext, PrincipalKind, Scope, Visibility
from threada_site.tenancy.models import Agent, Credential
from workitems.admin.agents.activity import activity, permits_in_use, requestable
from workitems.executions.freezes import lift_freeze, set_freeze
from workitems.executions.freezing.permissions import is_own_freeze

_MOST_CREDENTIALS: Final = 20


def _freezing(page: Any, call: Call) -> Effects:
    agent = page.find(call.key, ctx=call.ctx)
    name = agent.user.username
    return Effects(
        [
            _("Every request of %(name)s is refused from now on, also reading.") % {"name": name},
            _("Executions that were not sent yet are not sent, also after an approval. Deadlines are extended."),
        ]
    )


def _lifting(page: Any, call: Call) -> Effects:
    agent = page.find(call.key, ctx=call.ctx)
    return Effects(
        [_("Requests of %(name)s are accepted again, and blocked executions run.") % {"name": agent.user.username}]
    )


FREEZE: Final = Confirmation(gettext_lazy("Freeze agent"), _freezing)
LIFT: Final = Confirmation(gettext_lazy("Lift freeze"), _lifting)


def _state_of(row: Any) -> str:
    if getattr(row, "freeze", None) is not None:
        return "frozen"
    return "active" if row.user.is_active else "inactive"


def _last_used(row: Any) -> Any:
    return html.when(row.last_used_at) or _("never")


@admin.register(Agent)
class AgentAdmin(TenantAdmin):
    heading = gettext_lazy("Agents and services")
    id_prefix = ids.PRINCIPAL
    key = "user__username"
    columns = (
        Column(gettext_lazy("Name"), lambda row: row.user.username),
        Column(gettext_lazy("Kind"), lambda row: word(row.user.kind)),
        Column(gettext_lazy("Owner"), lambda row: row.owner.username if row.owner else _("nobody")),
        Column(gettext_lazy("Roles"), lambda row: html.tags(roles_of(row)) or _("none"), is_wide=True),
        Column(gettext_lazy("State"), lambda row: html.badge(_state_of(row))),
        Column(gettext_lazy("Last used"), _last_used),
    )
    search_hint = gettext_lazy("name begins with")
    about = gettext_lazy("Programs that request work here: what each may request, what it did, and how to stop it.")
    nothing_yet = gettext_lazy("There are no agents or services that you may see.")
    page_template = "workitems/agent.html"

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Return True for those who read work items, and for owners."""
        if super().has_view_permission(request, obj):
            return True
        ctx: ActingContext | None = getattr(request, "acting_context", None)
        return ctx is not None and Agent.objects.filter(tenant_id=ctx.tenant_id, owner_id=ctx.principal_id).exists()

    def rows(self, ctx: ActingContext) -> QuerySet[Any]:
        """Return all agents and services to those who read the whole tenant, and to others the own ones."""
        agents = Agent.objects.filter(tenant_id=ctx.tenant_id).exclude(user__kind=PrincipalKind.HUMAN.value)
        rows = with_roles(agents, tenant_id=ctx.tenant_id)
        if ctx.allows(Scope.WORKITEMS_READ) and ctx.visibility is Visibility.TENANT:
            return rows
        return rows.filter(owner_id=ctx.principal_id)

    def search(self, rows: QuerySet[Any], text: str) -> QuerySet[Any]:
        return rows.filter(user__username__startswith=text)

    def complete(self, rows: list[Any], *, ctx: ActingContext) -> None:
        """Add to each row its freeze and the time at which a credential of it was last used."""
        users = [row.user_id for row in rows]
        credentials = Credential.objects.filter(tenant_id=ctx.tenant_id, user_id__in=users)
        used = dict(credentials.order_by().values_list("user_id").annotate(Max("last_used_at")))
        frozen = {freeze.principal_id: freeze for freeze in freezes_in_force(ctx.tenant_id)}
        for row in rows:
            row.last_used_at, row.freeze = used.get(row.user_id), frozen.get(row.user_id)

    def page_title(self, row: Agent) -> str:
        return f"{word(row.user.kind)} {row.user.username}"

    def key_of(self, row: Agent) -> str:
        return row.user.public_id

    def find(self, key: str, *, ctx: ActingContext) -> Agent:
        parsed = ids.parse_public_id(ids.PRINCIPAL, key)
        agent: Agent | None = self.rows(ctx).filter(user_id=parsed).first() if parsed else None
        if agent is None:
            raise Http404("There is no such agent or service in this tenant.")
        return agent

    def page(self, row: Agent, *, ctx: ActingContext) -> dict[str, Any]:
        permissions = selectors.permissions_of_principal(row.user_id, tenant_id=ctx.tenant_id)
        is_owner = ctx.is_person and row.owner_id == ctx.principal_id
        credentials = selectors.credentials_of_tenant(ctx.tenant_id).filter(user_id=row.user_id)
        freezes = _freezes_of(row, ctx=ctx)
        return {
            "principal": row.user,
            "owner": row.owner,
            "roles": roles_of(row),
            "scopes": sorted(scope.value for scope in permissions.scopes),
            "object_scopes": scopes_by_object(row.user, tenant_id=ctx.tenant_id),
            "requestable": requestable(permissions, ctx=ctx),
            "permits": permits_in_use(row.user.public_id, ctx=ctx),
            "activity": activity(row.user_id, ctx=ctx),
            "credentials": [(one, state_of(one)) for one in credentials[:_MOST_CREDENTIALS]]
            if is_owner or is_steward(ctx)
            else None,
            "links_credentials": is_steward(ctx),
            "state": "frozen" if freezes else _state_of(row),
            "freezes": freezes,
            "may_freeze": not freezes and (is_owner or ctx.allows(Scope.ACTIONS_FREEZE)),
            "may_lift": any(is_own_freeze(one, ctx=ctx) for one in freezes)
            or (bool(freezes) and ctx.allows(Scope.INTEGRATIONS_MANAGE)),
        }

    @action(None, step_up=True, confirm=FREEZE)
    def freeze(self, call: Call) -> Done:
        """Refuse every request of an agent, and block its executions."""
        agent = self.find(call.key, ctx=call.ctx)
        set_freeze(FreezeScope(principal=agent.user.username), reason=call.sent(REASON), ctx=call.ctx)
        return Done(_("{name} is frozen.").format(name=agent.user.username))

    @action(None, step_up=True, confirm=LIFT)
    def lift(self, call: Call) -> Done:
        """Lift the freezes of an agent."""
        agent = self.find(call.key, ctx=call.ctx)
        for freeze in _freezes_of(agent, ctx=call.ctx):
            lift_freeze(freeze.id, reason=call.sent(REASON), ctx=call.ctx)
        return Done(_("{name} is no longer frozen.").format(name=agent.user.username))


def _freezes_of(row: Agent, *, ctx: ActingContext) -> list[Freeze]:
    return [one for one in freezes_in_force(ctx.tenant_id) if one.principal_id == row.user_id]
