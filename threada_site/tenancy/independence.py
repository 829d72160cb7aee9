"""Independence of people: no one controls the account of the other, and no third person controls both.

A person controls an account that the person created, invited, reset or issued a credential for, directly or through a
chain, until the account is confirmed (`AccountDependence`).
"""

from __future__ import annotations

import uuid
from collections.abc import Collection, Mapping
from typing import Final

from threada_site.database.router import read_connection
from threada_site.tenancy.models import Credential, Membership


def read_controllers(tenant_id: uuid.UUID, people: Collection[uuid.UUID]) -> dict[uuid.UUID, frozenset[uuid.UUID]]:
    """Return, for each of `people`, the person and everybody who controls the account. Runs one statement."""
    with read_connection().prepared_cursor() as cursor:
        cursor.execute(
            "SELECT person, threada_controllers(person, $1) FROM unnest($2::uuid[]) AS person",
            [tenant_id, list(people)],
        )
        return {person: frozenset({person, *controllers}) for person, controllers in cursor.fetchall()}


_CONTROLLERS_OF_PRINCIPALS: Final = """
    WITH behind AS (
        SELECT m.user_id AS principal, maker.person
          FROM tenancy_membership m
          JOIN tenancy_user u ON u.id = m.user_id AND u.kind <> 'human'
         CROSS JOIN LATERAL (VALUES (m.owner_id), (m.added_by)) AS maker(person)
         WHERE m.tenant_id = $1 AND m.user_id = ANY($2::uuid[]) AND maker.person IS NOT NULL
         UNION
        SELECT c.user_id, c.issued_by
          FROM tenancy_credential c
          JOIN tenancy_user u ON u.id = c.user_id AND u.kind <> 'human'
         WHERE c.tenant_id = $1 AND c.user_id = ANY($2::uuid[]) AND c.issued_by IS NOT NULL
    )
    SELECT person, unnest(threada_controllers(person, $1)) FROM unnest($2::uuid[]) AS person
     UNION SELECT principal, person FROM behind
     UNION SELECT principal, unnest(threada_controllers(person, $1)) FROM behind
"""


def read_controllers_of_principals(
    tenant_id: uuid.UUID, principals: Collection[uuid.UUID]
) -> dict[uuid.UUID, set[uuid.UUID]]:
    """Return the other people who control each of `principals`, for those who have any. Runs one statement.

    Agents and services are controlled by those who own, added or issued a credential for them, and by the controllers
    of these people.
    """
    found: dict[uuid.UUID, set[uuid.UUID]] = {}
    with read_connection().prepared_cursor() as cursor:
        cursor.execute(_CONTROLLERS_OF_PRINCIPALS, [tenant_id, list(principals)])
        for principal, controller in cursor.fetchall():
            found.setdefault(principal, set()).add(controller)
    return found


def are_independent(one: uuid.UUID, other: uuid.UUID, controllers: Mapping[uuid.UUID, Collection[uuid.UUID]]) -> bool:
    """Return True if the two people share no controller. `controllers` is from `read_controllers`."""
    return frozenset(controllers[one]).isdisjoint(controllers[other])


def is_independent_of(person: uuid.UUID, others: Collection[uuid.UUID | None], *, tenant_id: uuid.UUID) -> bool:
    """Return True if `person` is independent of each of `others`, and of the people behind agents and services.

    None among `others` is the operator, who is independent of everybody. Runs at most three statements.
    """
    named = {other for other in others if other is not None}
    named |= people_behind(named, tenant_id=tenant_id)
    if not named:
        return True
    controllers = read_controllers(tenant_id, {person, *named})
    return all(are_independent(person, other, controllers) for other in named)


def people_behind(principals: Collection[uuid.UUID], *, tenant_id: uuid.UUID) -> set[uuid.UUID]:
    """Return those who own, added or issued a credential for the agents and services among `principals`."""
    if not principals:
        return set()
    machines = Membership.objects.filter(tenant_id=tenant_id, user_id__in=principals).exclude(user__kind="human")
    found = {who for pair in machines.values_list("owner_id", "added_by") for who in pair}
    issued = Credential.objects.filter(tenant_id=tenant_id, user_id__in=principals).exclude(user__kind="human")
    return {who for who in (*found, *issued.values_list("issued_by", flat=True)) if who is not None}
