from telemetry.models import Receipt
from tests.factories import acting, make_principal, make_token
from threada_site.kernel.context import Scope
from threada_site.tenancy.unit_of_work import unit_of_work


def test_smoke(tenant, other_tenant):
    p = make_principal(tenant, "bob", roles=["operator"])
    t = make_token(tenant, p)
    assert t.startswith("thr_")
    assert acting(tenant, p).scopes == {
        Scope.WORKITEMS_READ,
        Scope.WORKITEMS_WRITE,
        Scope.ACTIONS_EXECUTE,
        Scope.TELEMETRY_READ,
        Scope.ACTIONS_FREEZE,
        Scope.DECISIONS_DECIDE,
    }
    assert Receipt.objects.count() == 0
    with unit_of_work(tenant.id):
        assert [r.kind for r in Receipt.objects.order_by("id")] == [
            "tenant.created",
            "principal.created",
            "member.added",
            "role.granted",
            "credential.issued",
        ]
