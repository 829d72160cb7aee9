"""Look-ups of people by user name over SCIM, with 5,000 people and 500 groups."""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator
from typing import Final
from urllib.parse import urlencode

from tests.benchmarks.figures import Figure
from tests.benchmarks.load import Connection, request_bytes
from tests.benchmarks.servers import PRODUCT, web_server
from tests.benchmarks.world import TENANT, World

PEOPLE: Final = 5_000
GROUPS: Final = 500
REPEATS: Final = 400
AIM_MS: Final = 50.0


def measure(world: World) -> Iterator[Figure]:
    """Measure `GET /Users?filter=userName eq …`."""
    _generate(world)
    with web_server(PRODUCT, port=world.port, processes=1):
        connection = Connection(world.port)
        times = sorted(_timed(world, connection, number * 37 % PEOPLE) for number in range(REPEATS))
    p95 = times[int(len(times) * 0.95)]
    yield Figure(
        name=f"SCIM look-up by userName, {PEOPLE:,} people, {GROUPS} groups, p95",
        value=f"{p95:.1f} ms",
        beside=f"median {statistics.median(times):.1f} ms",
        ratio=p95 / AIM_MS,
        aim=f"<= {AIM_MS:.0f} ms",
        is_met=p95 <= AIM_MS,
    )


def _generate(world: World) -> None:
    import psycopg

    from threada_site.database.unit_of_work import unit_of_work
    from threada_site.tenancy.models import (
        PeopleGroup,
        ProvisionedGroup,
        ProvisionedGroupMember,
        ProvisionedPerson,
        Tenant,
        User,
    )

    tenant = Tenant.objects.get(slug=TENANT)
    users = User.objects.bulk_create(
        User(username=f"scim-{number}", kind="human", password="!") for number in range(PEOPLE)
    )
    with unit_of_work(tenant.id):
        people = ProvisionedPerson.objects.bulk_create(
            ProvisionedPerson(tenant=tenant, user=user, user_name=_name(number), user_name_key=_name(number))
            for number, user in enumerate(users)
        )
        groups = PeopleGroup.objects.bulk_create(
            PeopleGroup(tenant=tenant, slug=f"scim-{number}", source="scim") for number in range(GROUPS)
        )
        provisioned = ProvisionedGroup.objects.bulk_create(
            ProvisionedGroup(tenant=tenant, group=group, display_name=group.slug, display_name_key=group.slug)
            for group in groups
        )
        ProvisionedGroupMember.objects.bulk_create(
            ProvisionedGroupMember(tenant=tenant, group=provisioned[(number + step) % GROUPS], person=person)
            for number, person in enumerate(people)
            for step in range(10)
        )
    with psycopg.connect(**world.superuser(), autocommit=True) as connection:
        connection.execute(
            "VACUUM (ANALYZE) tenancy_provisionedperson, tenancy_provisionedgroup, tenancy_provisionedgroupmember"
        )


def _name(number: int) -> str:
    return f"person-{number}@example.com"


def _timed(world: World, connection: Connection, number: int) -> float:
    query = urlencode({"filter": f'userName eq "{_name(number).upper()}"'})
    request = request_bytes("GET", f"/scim/v2/{TENANT}/Users?{query}", world.headers, "")
    begun = time.perf_counter()
    status, body = connection.exchange(request)
    elapsed = (time.perf_counter() - begun) * 1000
    assert status == 200, body
    return elapsed
