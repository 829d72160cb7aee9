"""Look-ups by name use an index under row-level security."""

from __future__ import annotations

import json
from typing import Any

import pytest
from django.contrib.auth.hashers import make_password
from django.db import connection
from django.test.utils import CaptureQueriesContext

from tests.threada_site.scim.provisioning import Provisioning
from threada_site.database.role_names import APP
from threada_site.database.roles import OWNER
from threada_site.database.unit_of_work import unit_of_work
from threada_site.tenancy.models import PeopleGroup, ProvisionedGroup, ProvisionedPerson, Tenant, User


@pytest.fixture
def many(acme: Tenant, scim: Provisioning) -> Tenant:
    """Return a tenant with 2,000 people and 500 groups."""
    password = make_password(None)
    users = User.objects.bulk_create(
        User(username=f"person-{number}", kind="human", password=password) for number in range(2000)
    )
    with unit_of_work(acme.id):
        ProvisionedPerson.objects.bulk_create(
            ProvisionedPerson(
                tenant=acme,
                user=user,
                user_name=f"{user.username}@example.com",
                user_name_key=f"{user.username}@example.com",
                external_id=f"x-{user.username}",
            )
            for user in users
        )
        groups = PeopleGroup.objects.bulk_create(
            PeopleGroup(tenant=acme, slug=f"group-{number}", source="scim") for number in range(500)
        )
        ProvisionedGroup.objects.bulk_create(
            ProvisionedGroup(tenant=acme, group=group, display_name=group.slug, display_name_key=group.slug)
            for group in groups
        )
    with connection.cursor() as cursor:
        cursor.execute(f"SET ROLE {OWNER}")
        cursor.execute("ANALYZE tenancy_provisionedperson, tenancy_provisionedgroup")
        cursor.execute("RESET ROLE")
    return acme


def indexes(plan: Any) -> set[str]:
    """Return the indexes that a plan uses."""
    found = {plan["Index Name"]} if "Index Name" in plan else set()
    return found.union(*(indexes(child) for child in plan.get("Plans", [])))


@pytest.mark.parametrize(
    ("path", "text", "index"),
    [
        ("Users", 'userName eq "PERSON-7@example.com"', "provisionedperson_user_name_once"),
        ("Users", 'externalId eq "x-person-7"', "provisionedperson_external_id_once"),
        ("Groups", 'displayName eq "Group-7"', "provisionedgroup_name"),
    ],
)
def test_index_is_used(many: Tenant, scim: Provisioning, path: str, text: str, index: str) -> None:
    with CaptureQueriesContext(connection) as captured:
        page = scim.api.get(f"/scim/v2/acme/{path}", {"filter": text}).json()
    assert page["totalResults"] == 1
    asked = [query["sql"] for query in captured if "LIMIT" in query["sql"] and "tenancy_provisioned" in query["sql"]]
    with unit_of_work(many.id), connection.cursor() as cursor:
        cursor.execute(f"SET LOCAL ROLE {APP}")
        cursor.execute(f"EXPLAIN (FORMAT JSON) {asked[0]}")
        plan = cursor.fetchone()[0]
        cursor.execute("RESET ROLE")
    assert index in indexes((json.loads(plan) if isinstance(plan, str) else plan)[0]["Plan"])
