"""Permission to set and lift freezes, and the check of what a scope names."""

from __future__ import annotations

from integrations import selectors as integration_selectors
from integrations.configuration.parsed_documents import document_of
from integrations.freezes.scope import FreezeScope
from integrations.models import Freeze
from policies import selectors as policy_selectors
from threada_site.kernel import errors
from threada_site.kernel.context import ActingContext, PrincipalKind, Scope
from threada_site.kernel.errors import FieldError
from threada_site.tenancy.credentials.deciding import check_authentication
from threada_site.tenancy.independence import is_independent_of, require_known_owner
from threada_site.tenancy.models import Membership, User


def check_permission(frozen_part: FreezeScope, permission: Scope, *, ctx: ActingContext) -> None:
    """Raise `PermissionDenied` without `permission` on the tenant, or on the frozen workflow or integration."""
    workflow = policy_selectors.workflow_by_slug(frozen_part.workflow, ctx=ctx) if frozen_part.workflow else None
    integration = (
        integration_selectors.integration_by_slug(frozen_part.integration, ctx=ctx) if frozen_part.integration else None
    )
    if not ctx.allows(
        permission, workflow=workflow.id if workflow else None, integration=integration.id if integration else None
    ):
        raise errors.PermissionDenied(f"You do not hold {permission.value} on {frozen_part}.")


def is_own_freeze(freeze: Freeze, *, ctx: ActingContext) -> bool:
    """Return True for a freeze of an agent or service that the acting person owns and has frozen."""
    if freeze.set_by != ctx.principal_id:
        return False
    member = member_in(freeze.scope, ctx=ctx)
    return member is not None and is_owner(member, ctx=ctx)


def is_owner(member: Membership, *, ctx: ActingContext) -> bool:
    """Return True if the acting person owns the agent or service."""
    return ctx.is_person and member.owner_id == ctx.principal_id


def member_in(scope: FreezeScope, *, ctx: ActingContext) -> Membership | None:
    """Return the membership of the agent or service that a scope names, or None."""
    if not scope.principal:
        return None
    members = Membership.objects.filter(tenant_id=ctx.tenant_id, user__username=scope.principal)
    return members.exclude(user__kind=PrincipalKind.HUMAN.value).select_related("user").first()


def check_exists(scope: FreezeScope, member: Membership | None, *, ctx: ActingContext) -> None:
    """Raise the refusal of a scope that names nothing of the tenant. `member` is the agent or service that it names."""
    if scope.principal and member is None:
        raise errors.InvalidRequest(
            f"There is no agent or service {scope.principal!r} here. People are not frozen.",
            errors=[FieldError("/scope/principal", "names no agent or service", "unknown")],
        )
    if scope.workflow and policy_selectors.workflow_by_slug(scope.workflow, ctx=ctx) is None:
        raise errors.UnknownWorkflow(
            f"There is no workflow {scope.workflow!r} here.",
            errors=[FieldError("/scope/workflow", "names no workflow", "unknown")],
        )
    if not scope.integration:
        return
    integration = integration_selectors.integration_by_slug(scope.integration, ctx=ctx)
    if integration is None or integration.current_version is None:
        raise errors.UnknownIntegration(
            f"There is no integration {scope.integration!r} here.",
            errors=[FieldError("/scope/integration", "names no integration", "unknown")],
        )
    if scope.action and scope.action not in document_of(integration.current_version).actions:
        raise errors.UnknownAction(
            f"The integration {scope.integration} has no action {scope.action!r}.",
            errors=[FieldError("/scope/action", "names no action of this integration", "unknown")],
        )


def check_may_lift(freeze: Freeze, *, four_eyes: bool, ctx: ActingContext) -> None:
    """Raise `PersonRequired` for a freeze of a person, and with `four_eyes` `SecondPersonRequired`.

    Raise `OwnerRequired` for an agent or a service without a known owner.
    """
    if four_eyes and not (
        ctx.is_person and is_independent_of(ctx.principal_id, [freeze.set_by], tenant_id=ctx.tenant_id)
    ):
        raise errors.SecondPersonRequired("A person who is independent of the one who set this freeze has to lift it.")
    if ctx.is_person:
        check_authentication(ctx=ctx)
        return
    if freeze.set_by is None:
        may_lift = ctx.is_system
    else:
        may_lift = not User.objects.filter(id=freeze.set_by, kind="human").exists()
    if not may_lift:
        raise errors.PersonRequired("A person set this freeze, so a person has to lift it.")
    require_known_owner(ctx)
