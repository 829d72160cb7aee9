"""Independence of people: no one controls the account of the other, and no third person controls both.

A person controls an account that the person created, invited, reset or issued a credential for, directly or through a
chain, until the account is confirmed (`AccountDependence`).
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


def are_independent(one: uuid.UUID, other: uuid.UUID, controllers: Mapping[uuid.UUID, Collection[uuid.UUID]]) -> bool:
    """Return True if the two people share no controller. `controllers` is from `read_controllers`."""
    return frozenset(controllers[one]).isdisjoint(controllers[other])
