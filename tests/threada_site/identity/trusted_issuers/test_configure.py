"""Documents of trusted issuers: API, `apply`, audiences of other tenants, four eyes, control of mapped services."""

from __future__ import annotations

from typing import Any

import pytest
from pytest_django import Settings

from telemetry.models import Receipt
from tests.client import Api
from tests.factories import acting_system, make_principal, make_tenant, make_token
from tests.threada_site.api.conftest import assert_problem
from tests.threada_site.identity.trusted_issuers.conftest import trust
from tests.threada_site.identity.trusted_issuers.issuer import PUBLIC_URL, Issuer, mapping, offline_spec, spec
from threada_site.database.unit_of_work import unit_of_work
from threada_site.identity.trusted_issuers.document import parse_trusted_issuer
from threada_site.kernel.documents.reader import load_documents
from threada_site.kernel.documents.writer import write_document
from threada_site.kernel.errors import DocumentInvalid
from threada_site.tenancy.controllers import Controllers
from threada_site.tenancy.independence import read_controllers
from threada_site.tenancy.models import Tenant, TrustedIssuer
from workitems.configuration.apply import apply_documents
from workitems.configuration.export import configuration_files

pytestmark = pytest.mark.usefixtures("step_up")

LIST = "/trusted-issuers"
PATH = f"{LIST}/ci"


@pytest.fixture
def steward(tenant: Tenant) -> Api:
    return Api(make_token(tenant, make_principal(tenant, "ann", roles=["tenant_admin"])))


class TestApi:
    def test_put_read_list_and_withdraw(self, tenant: Tenant, steward: Api) -> None:
        said = offline_spec()
        answer = steward.post(LIST, {"trusted_issuer_id": "ci", "spec": said})
        assert answer.status_code == 201, answer.json()
        assert (answer.json()["number"], answer.json()["audience"]) == (1, f"{PUBLIC_URL}/acme")
        assert steward.post(LIST, {"trusted_issuer_id": "ci", "spec": said}).json()["number"] == 1
        assert (
            steward.post(LIST, {"trusted_issuer_id": "ci", "spec": {**said, "algorithms": ["PS256"]}}).json()["number"]
            == 2
        )
        assert steward.get(PATH).json()["spec"]["algorithms"] == ["PS256"]
        assert [row["trusted_issuer_id"] for row in steward.get("/trusted-issuers").json()["data"]] == ["ci"]
        assert steward.delete(PATH).status_code == 204
        assert steward.get(PATH).status_code == steward.delete(PATH).status_code == 404
        with unit_of_work(tenant.id):
            kinds = list(Receipt.objects.filter(kind__startswith="trusted_issuer.").order_by("id"))
        assert [row.kind for row in kinds] == ["trusted_issuer.version_added"] * 2 + ["trusted_issuer.withdrawn"]

    def test_only_stewards(self, tenant: Tenant) -> None:
        api = Api(make_token(tenant, make_principal(tenant, "bob", roles=["operator"])))
        for answer in (
            api.get(PATH),
            api.post(LIST, {"trusted_issuer_id": "ci", "spec": offline_spec()}),
            api.delete(PATH),
        ):
            assert answer.status_code == 403

    def test_second_steward_confirms(self, tenant: Tenant, steward: Api) -> None:
        other = Api(make_token(tenant, make_principal(tenant, "ben", roles=["tenant_admin"])))
        proposed = steward.post(LIST, {"trusted_issuer_id": "ci", "spec": offline_spec()})
        assert proposed.status_code == 202, proposed.json()
        change = proposed.json()
        assert steward.get(PATH).status_code == 404
        published = other.post(f"/change-sets/{change['change_set_id']}/publish", {"digest": change["digest"]})
        assert published.status_code == 200, published.json()
        assert steward.get(PATH).status_code == 200


class TestApply:
    def test_document_is_applied_exported_and_pruned(self, tenant: Tenant) -> None:
        ctx = acting_system(tenant)
        text = write_document({"kind": "TrustedIssuer", "id": "ci", "spec": offline_spec()})
        with unit_of_work(tenant.id):
            apply_documents(load_documents(text, source="test"), ctx=ctx)
            files = configuration_files(ctx)
            (path,) = [path for path in files if "trustedissuer" in str(path)]
            assert [a.change for a in apply_documents(load_documents(files[path], source="t"), ctx=ctx).applied] == [
                "unchanged"
            ]
            apply_documents([], ctx=ctx, prune=True)
            assert TrustedIssuer.objects.get(slug="ci").audience is None


class TestAudience:
    @pytest.mark.parametrize("audience", [f"{PUBLIC_URL}/globex", f"{PUBLIC_URL}/acme2", "api://globex", PUBLIC_URL])
    def test_audience_of_others_is_refused(self, tenant: Tenant, steward: Api, audience: str) -> None:
        answer = steward.post(LIST, {"trusted_issuer_id": "ci", "spec": {**offline_spec(), "audience": audience}})
        assert_problem(answer, 422, "document_invalid")
        assert answer.json()["errors"][0]["pointer"] == "/spec/audience"

    def test_operator_can_allow_an_audience_for_one_tenant(
        self, tenant: Tenant, steward: Api, settings: Settings
    ) -> None:
        settings.THREADA_WORKLOAD_AUDIENCES = ["acme=api://threada"]
        assert (
            steward.post(
                LIST, {"trusted_issuer_id": "ci", "spec": {**offline_spec(), "audience": "api://threada"}}
            ).status_code
            == 201
        )
        other = make_tenant("globex")
        api = Api(make_token(other, make_principal(other, "gus", roles=["tenant_admin"])))
        answer = api.post(LIST, {"trusted_issuer_id": "ci", "spec": {**offline_spec(), "audience": "api://threada"}})
        assert_problem(answer, 422, "document_invalid")

    def test_pair_of_another_tenant_is_refused_without_its_name(
        self, tenant: Tenant, steward: Api, settings: Settings
    ) -> None:
        settings.THREADA_WORKLOAD_AUDIENCES = ["acme=api://threada", "globex=api://threada"]
        other = make_tenant("globex")
        trust(other, Issuer(), audience="api://threada")
        answer = steward.post(
            LIST, {"trusted_issuer_id": "ci", "spec": {**offline_spec(), "audience": "api://threada"}}
        )
        assert "globex" not in str(assert_problem(answer, 409, "conflict"))

    def test_no_default_without_a_public_url(self, tenant: Tenant, steward: Api, settings: Settings) -> None:
        settings.THREADA_PUBLIC_URL = ""
        assert_problem(steward.post(LIST, {"trusted_issuer_id": "ci", "spec": offline_spec()}), 422, "document_invalid")


@pytest.mark.parametrize(
    ("changes", "pointer"),
    [
        ({"algorithms": ["HS256"]}, "/algorithms/0"),
        ({"algorithms": ["none"]}, "/algorithms/0"),
        ({"jwks_url": "http://keys.test/jwks"}, "/jwks_url"),
        ({"mappings": []}, "/mappings"),
        ({"mappings": [mapping(when="claims.")]}, "/mappings/0/when"),
        ({"mappings": [mapping(when="1 + 1")]}, "/mappings/0/when"),
        ({"mappings": [mapping(principal_from="claims.azp")]}, "/mappings/0"),
        ({"mappings": [mapping(lifetime_minutes=100_000)]}, "/mappings/0/lifetime_minutes"),
        ({"mappings": [mapping(scopes=["everything"])]}, "/mappings/0/scopes/0"),
        ({"mappings": [mapping(create={"kind": "human", "owner": "ann"})]}, "/mappings/0/create/kind"),
        ({"jwks": {"keys": [{"kty": "oct", "k": "AAAA", "kid": "a"}]}}, "/jwks"),
        ({"issuer": "spiffe://example.org"}, "/issuer"),
    ],
)
def test_invalid_documents(changes: dict[str, Any], pointer: str) -> None:
    with pytest.raises(DocumentInvalid) as refused:
        parse_trusted_issuer({**spec(Issuer()), **changes})
    assert [error.pointer for error in refused.value.errors] == [pointer]


def test_author_of_a_mapping_controls_the_service(tenant: Tenant, steward: Api) -> None:
    deployer = make_principal(tenant, "deployer", "service", owner="ola")
    other = make_principal(tenant, "other", "service", owner="ola")
    steward.post(LIST, {"trusted_issuer_id": "ci", "spec": offline_spec()})
    steward.delete(PATH)
    with unit_of_work(tenant.id):
        controllers = read_controllers(tenant.id, [deployer.id, other.id])
    ann, ola = (make_principal(tenant, name, roles=[]) for name in ("ann", "ola"))
    assert controllers == {
        deployer.id: Controllers(frozenset({deployer.id, ann.id, ola.id})),
        other.id: Controllers(frozenset({other.id, ola.id})),
    }


def test_who_proposed_and_who_confirmed_a_mapping_control_the_service(tenant: Tenant, steward: Api) -> None:
    deployer = make_principal(tenant, "deployer", "service", owner="ola")
    ben = make_principal(tenant, "ben", roles=["tenant_admin"])
    change = steward.post(LIST, {"trusted_issuer_id": "ci", "spec": offline_spec()}).json()
    sent = {"digest": change["digest"]}
    assert Api(make_token(tenant, ben)).post(f"/change-sets/{change['change_set_id']}/publish", sent).status_code == 200
    with unit_of_work(tenant.id):
        controllers = read_controllers(tenant.id, [deployer.id])[deployer.id]
    ann, ola = (make_principal(tenant, name, roles=[]) for name in ("ann", "ola"))
    assert controllers == Controllers(frozenset({deployer.id, ann.id, ben.id, ola.id}))
