"""Independence of people: no one controls the account of the other, and no third person controls both.

A person controls an account that the person created, invited, reset or issued a credential for, directly or through a
chain, until the account is confirmed (`AccountDependence`). Agents and services are controlled by those who own them,
added them or ever issued a credential for them.
"""

from __future__ import annotations

import uuid
from collections.abc import Collection, Mapping

from threada_site.database.router import read_connection


def read_controllers(tenant_id: uuid.UUID, people: Collection[uuid.UUID]) -> dict[uuid.UUID, frozenset[uuid.UUID]]:
    """Return, for each of `people`, the person and everybody who controls the account. Runs one statement."""
    with read_connection().prepared_cursor() as cursor:
        cursor.execute(
            "SELECT person, threada_controllers(person, $1) FROM unnest($2::uuid[]) AS person",
            [tenant_id, list(people)],
        )
        return {person: frozenset({person, *controllers}) for person, controllers in cursor.fetchall()}


def read_controllers_of_principals(
    tenant_id: uuid.UUID, principals: Collection[uuid.UUID]
) -> dict[uuid.UUID, set[uuid.UUID]]:
    """Return the other principals who control each of `principals`, for those who have any. Runs one statement."""
    found = read_controllers(tenant_id, principals)
    return {who: set(controllers) - {who} for who, controllers in found.items() if len(controllers) > 1}


def are_independent(one: uuid.UUID, other: uuid.UUID, controllers: Mapping[uuid.UUID, Collection[uuid.UUID]]) -> bool:
    """Return True if the two people share no controller. `controllers` is from `read_controllers`."""
    return frozenset(controllers[one]).isdisjoint(controllers[other])


def is_independent_of(person: uuid.UUID, others: Collection[uuid.UUID | None], *, tenant_id: uuid.UUID) -> bool:
    """Return True if `person` is independent of each of `others`, and of the people behind agents and services.

    None among `others` is the operator, who is independent of everybody. Runs one statement.
    """
    named = {other for other in others if other is not None}
    if not named:
        return True
    controllers = read_controllers(tenant_id, {person, *named})
    return all(are_independent(person, other, controllers) for other in named)
