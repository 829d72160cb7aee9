"""Reset of the second factors of a person who has lost them: by the operator, or by two stewards."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from threada_site.database.unit_of_work import require_unit_of_work
from threada_site.identity.dependence import record_resetters
from threada_site.identity.factors.enrolled import remove_factors
from threada_site.identity.factors.events import FactorEvent, record_event
from threada_site.identity.selectors import belongs_elsewhere, member_with_id
from threada_site.identity.stewardship import require_steward
from threada_site.kernel import errors
from threada_site.kernel.context import ActingContext, PrincipalKind
from threada_site.tenancy.change_sets import ProposedChange, operation, require_confirmation
from threada_site.tenancy.credentials.deciding import require_person
from threada_site.tenancy.four_eyes import IDENTITY_FOUR_EYES
from threada_site.tenancy.models import User

FACTOR_RESET: Final = "principal.factor_reset"


def reset_factors(person: User, *, ctx: ActingContext) -> FactorEvent:
    """Remove all second factors and recovery codes of a person. Receipt `second_factor.reset`; the person is notified.

    All sessions of the person end. As the operator, or as the second of two stewards: the call of the first one raises
    `ConfirmationRequired`, and the account then depends on both, because each may know its password. Raise
    `PermissionDenied`, `PersonRequired`, and `Conflict` without factors or for a person of another tenant too. The
    caller records the event in other tenants (`record_elsewhere`).
    """
    require_unit_of_work(ctx.tenant_id)
    require_steward(ctx)
    if not ctx.is_system:
        require_person("Only people can reset second factors.", ctx=ctx)
    if person.kind != PrincipalKind.HUMAN:
        raise errors.Conflict("Services and agents have no second factors.")
    if not ctx.is_system and belongs_elsewhere(person, tenant_id=ctx.tenant_id):
        raise errors.Conflict(f"{person.username} belongs to another tenant too. Ask the instance's operator.")
    change = ProposedChange(
        rule=IDENTITY_FOUR_EYES,
        operation=FACTOR_RESET,
        title=f"Reset the second factors of {person.username}",
        arguments={"principal": person.public_id},
        before={"second_factors": "enrolled by the person, or none"},
        after={"second_factors": "none"},
        parties=frozenset({person.id}),
    )
    require_confirmation(change, ctx=ctx, always=True)
    record_resetters(person, ctx=ctx)
    removed = len(remove_factors(person.id))
    person.console_sessions.all().delete()
    event = FactorEvent("second_factor.reset", "factors_reset", person, inputs={"removed": removed})
    record_event(event, ctx=ctx)
    return event


@operation(FACTOR_RESET)
def reset_of_change_set(arguments: Mapping[str, Any], ctx: ActingContext) -> None:
    """Reset the second factors that a change set names."""
    reset_factors(member_with_id(arguments["principal"], tenant_id=ctx.tenant_id), ctx=ctx)
