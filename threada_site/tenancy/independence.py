"""Independence of principals: no one controls the account of the other, and no third person controls both.

A person controls an account that the person created, invited, reset or issued a credential for, directly or through a
chain, until the account is confirmed (`AccountDependence`). Agents and services are controlled by those who own them,
added them, named their owner, ever issued a credential for them, or let a trusted issuer name them.

The control of an agent or a service is known if its owner is an active person of the tenant who accepted the
invitation, and if everybody who added it, issued one of its live credentials or maps it now still is a member with a
known control, or has left and its owner was named since. The operator ends a chain. Accounts of people depend on known
people, also on those who left; they are unknown only while they depend on an agent or a service that is. Whoever is
`UNKNOWN` is independent of nobody. `threada_controllers` returns NULL then.
"""

from __future__ import annotations

import uuid
from collections.abc import Collection, Mapping

from threada_site.database.router import read_connection
from threada_site.kernel import errors
from threada_site.kernel.context import ActingContext
from threada_site.tenancy.controllers import UNKNOWN, Control, control_of, share_nobody


def read_controllers(tenant_id: uuid.UUID, people: Collection[uuid.UUID]) -> dict[uuid.UUID, Control]:
    """Return, for each of `people`, the person and everybody who controls the account. Runs one statement."""
    with read_connection().prepared_cursor() as cursor:
        cursor.execute(
            "SELECT person, threada_controllers(person, $1) FROM unnest($2::uuid[]) AS person",
            [tenant_id, list(people)],
        )
        return {person: control_of(controllers, person) for person, controllers in cursor.fetchall()}


def are_independent(one: uuid.UUID, other: uuid.UUID, controllers: Mapping[uuid.UUID, Control]) -> bool:
    """Return True if the two principals are known and share no controller. `controllers`: of `read_controllers`."""
    return share_nobody(controllers[one], controllers[other])


def is_independent_of(person: uuid.UUID, others: Collection[uuid.UUID | None], *, tenant_id: uuid.UUID) -> bool:
    """Return True if `person` is independent of each of `others`, and of the people behind agents and services.

    None among `others` is the operator, who is independent of everybody. Runs one statement.
    """
    named = {other for other in others if other is not None}
    if not named:
        return True
    controllers = read_controllers(tenant_id, {person, *named})
    return all(are_independent(person, other, controllers) for other in named)


def require_known_owner(ctx: ActingContext) -> None:
    """Raise `OwnerRequired` for an agent or a service whose control is unknown.

    It may ask, read and execute within its scopes, and changes nothing else. Runs one statement, for people and the
    operator none.
    """
    if ctx.is_person or ctx.is_system:
        return
    if read_controllers(ctx.tenant_id, [ctx.principal_id])[ctx.principal_id] is UNKNOWN:
        raise errors.OwnerRequired
