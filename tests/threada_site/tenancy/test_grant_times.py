"""Times from which grants count."""

from __future__ import annotations

from datetime import UTC, datetime

from django.db import connection
from django.test.utils import CaptureQueriesContext

from tests.factories import acting, acting_system, make_principal
from threada_site.database.unit_of_work import unit_of_work
from threada_site.identity.grants.role_grants import grant_role
from threada_site.identity.roles import define_role
from threada_site.kernel import ids
from threada_site.kernel.context import Scope
from threada_site.tenancy.authority_models import GrantRecord, RoleScopeRecord
from threada_site.tenancy.grant_times import grant_times, read_grant_times
from threada_site.tenancy.models import Tenant

EARLY, LATE = datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 2, 1, tzinfo=UTC)


def test_what_the_operator_grants_counts_always(tenant: Tenant) -> None:
    bob = make_principal(tenant, "bob", roles=["approver"])
    stranger = ids.new_uuid()
    with unit_of_work(tenant.id), CaptureQueriesContext(connection) as statements:
        times = read_grant_times(tenant.id, [bob.id, stranger])
    assert times == {
        bob.id: dict.fromkeys(["member", "role:approver", "scope:workitems:read", "scope:decisions:decide"]),
        stranger: {},
    }
    assert len(statements) == 1


def test_unconfirmed_grants_count_from_their_time(tenant: Tenant) -> None:
    steward = acting(tenant, make_principal(tenant, "admin", roles=["tenant_admin"]))
    bob = make_principal(tenant, "bob", roles=["auditor"])
    with unit_of_work(tenant.id):
        grant_role(bob, "approver", ctx=steward)
        since = GrantRecord.objects.get(user=bob, name="approver").effective_at
        times = read_grant_times(tenant.id, [bob.id])[bob.id]
    assert (times["role:approver"], times["scope:decisions:decide"]) == (since, since)
    assert times["scope:workitems:read"] is None  # from the role auditor too


def test_a_scope_added_to_a_role_counts_from_its_own_time(tenant: Tenant) -> None:
    steward = acting(tenant, make_principal(tenant, "admin", roles=["tenant_admin"]))
    bob = make_principal(tenant, "bob", roles=["auditor"])
    with unit_of_work(tenant.id):
        read = frozenset({Scope.WORKITEMS_READ, Scope.TELEMETRY_READ})
        define_role("auditor", read | {Scope.DECISIONS_DECIDE}, ctx=steward)
        since = RoleScopeRecord.objects.get(role="auditor", scope="decisions:decide").effective_at
        times = read_grant_times(tenant.id, [bob.id])[bob.id]
        assert (times["role:auditor"], times["scope:decisions:decide"]) == (None, since)
        define_role("auditor", read, ctx=steward)
        define_role("auditor", read | {Scope.WORKFLOW_MANAGE}, ctx=acting_system(tenant))
        times = read_grant_times(tenant.id, [bob.id])[bob.id]
    assert times["scope:decisions:decide"] is None  # included in workflow:manage


def test_times_are_the_later_within_a_role_and_the_earlier_between_roles() -> None:
    person, workflow = ids.new_uuid(), ids.new_uuid()
    rows = [
        (person, "member", "", EARLY, None, None),
        (person, "group", "board", LATE, None, None),
        (person, "scope", f"decisions:decide@{workflow}", LATE, None, None),
        (person, "role", "a", EARLY, "decisions:decide", LATE),
        (person, "role", "a", EARLY, "workitems:read", None),
        (person, "role", "b", LATE, "workitems:read", EARLY),
        (person, "role", "empty", None, None, None),
    ]
    assert grant_times(rows)[person] == {
        "member": EARLY,
        "group:board": LATE,
        f"scope:decisions:decide@{workflow}": LATE,
        "role:a": EARLY,
        "role:b": LATE,
        "role:empty": None,
        "scope:decisions:decide": LATE,
        "scope:workitems:read": EARLY,
    }
