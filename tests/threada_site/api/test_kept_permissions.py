"""Permissions that a process keeps: every committed change applies to the next request, whatever the process keeps."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.db import connection

from integrations.models import Freeze
from policies.models import Workflow
from tests.client import Api
from tests.factories import acting_system
from threada_site.database.unit_of_work import unit_of_work
from threada_site.identity.grants.object_grants import grant_scope_on
from threada_site.kernel import tokens
from threada_site.kernel.context import Scope
from threada_site.tenancy.credentials import kept_permissions as kept
from threada_site.tenancy.directory.group_models import PeopleGroup, PeopleGroupMember
from threada_site.tenancy.models import Membership, Tenant, User

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.urls("tests.threada_site.api.shelf")]

CHANGES = (
    "UPDATE tenancy_role SET visibility = 'own' WHERE slug = 'requester'",
    "UPDATE tenancy_peoplegroup SET slug = 'lawyers'",
    "UPDATE tenancy_peoplegroupmember SET group_id = group_id",
    "DELETE FROM tenancy_peoplegroupmember",
    "UPDATE tenancy_credential SET roles = ARRAY['requester']",
    "UPDATE guardian_groupobjectpermission SET object_pk = object_pk",
    "DELETE FROM guardian_groupobjectpermission",
    "DELETE FROM guardian_userobjectpermission",
    "DELETE FROM tenancy_user_groups",
)
REFUSALS = (
    ("UPDATE tenancy_credential SET revoked_at = {}", "now()", "NULL", "credential_revoked"),
    ("UPDATE tenancy_credential SET expires_at = {}", "created_at + interval '1 us'", "NULL", "credential_expired"),
    ("UPDATE tenancy_credential SET awaits_confirmation = {}", "true", "false", "credential_unconfirmed"),
    ("UPDATE tenancy_membership SET accepted_at = {}", "NULL", "now()", "principal_inactive"),
    ("UPDATE tenancy_user SET is_active = {}", "false", "true", "principal_inactive"),
    ("UPDATE tenancy_tenant SET is_active = {}", "false", "true", "principal_inactive"),
    (
        "UPDATE tenancy_user SET (kind, home_tenant_id) = ({})",
        "'agent', (SELECT id FROM tenancy_tenant)",
        "'human', NULL",
        "principal_frozen",
    ),
)


@pytest.fixture
def elsewhere() -> Iterator[Callable[[str], None]]:
    """Return a function that runs SQL as the schema's owner, on a connection of its own."""
    other = connection.copy()
    with other.cursor() as cursor:
        cursor.execute("SET ROLE threada_owner")
        yield cursor.execute
    other.close()


def test_the_next_request_has_every_change_that_was_committed(
    tenant: Tenant,
    requester: User,
    client: Api,
    token: str,
    elsewhere: Callable[[str], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(kept, "KEPT_S", 3600.0)
    with unit_of_work(tenant.id):
        workflow = Workflow.objects.create(tenant_id=tenant.id, slug="mine")
        grant_scope_on(requester, Scope.DECISIONS_DECIDE, workflow, ctx=acting_system(tenant))
        group = PeopleGroup.objects.create(tenant_id=tenant.id, slug="legal")
        member = Membership.objects.get(tenant_id=tenant.id, user_id=requester.id)
        PeopleGroupMember.objects.create(tenant_id=tenant.id, group=group, membership=member)
        Freeze.objects.create(
            tenant_id=tenant.id,
            principal=requester.username,
            principal_id=requester.id,
            reason="test",
            set_by=requester.id,
        )

    def is_changed() -> bool:
        stored: Any = kept.kept_permissions(tokens.digest(token), None)
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT is_changed FROM threada_enter(%s, NULL, NULL, %s::pg_snapshot, %s)",
                [tokens.digest(token), stored.snapshot, stored.visibility],
            )
            return bool(cursor.fetchone()[0])

    for change in CHANGES:
        elsewhere("BEGIN")
        elsewhere(change)
        assert client.get("/me").status_code == 200
        assert not is_changed(), change
        elsewhere("COMMIT")
        assert is_changed(), f"not noticed, although it was under way when the permissions were read: {change}"
        client.get("/me")
        assert not is_changed(), change
    assert client.get("/me").json()["scopes"] == []
    for statement, broken, whole, reason in REFUSALS:
        elsewhere(statement.format(broken))
        assert client.get("/me").json()["reason_code"] == reason
        elsewhere(statement.format(whole))
        assert client.get("/me").status_code == 200, statement
    assert not is_changed(), "the refusals must come from the statement of each request"
    elsewhere("DELETE FROM tenancy_membership")
    assert is_changed(), "permissions of somebody who leaves and comes back must be read again"
