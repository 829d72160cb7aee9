"""Access to SCIM: the token of a service of the tenant, confirmed by a second steward under four eyes."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from pytest_django import Settings

from telemetry.models import Receipt
from tests.client import Api
from tests.factories import acting, acting_system, make_principal, make_tenant, make_token, stepped_up
from tests.threada_site.identity.trusted_issuers.conftest import trust
from tests.threada_site.identity.trusted_issuers.issuer import PUBLIC_URL, Issuer, mapping
from tests.threada_site.identity.trusted_issuers.test_exchange import exchanged
from tests.threada_site.scim.provisioning import USER, Provisioning, provisioning_of
from threada_site.database.unit_of_work import unit_of_work
from threada_site.identity.change_sets.publish import publish
from threada_site.identity.credentials import issue_credential
from threada_site.identity.dependence import confirm_account
from threada_site.identity.four_eyes import turn_on_four_eyes
from threada_site.identity.roles import define_role
from threada_site.kernel import errors, ids
from threada_site.kernel.context import Scope
from threada_site.tenancy.authority_models import AccountDependence, ChangeSet, GrantRecord
from threada_site.tenancy.four_eyes import IDENTITY_FOUR_EYES
from threada_site.tenancy.independence import read_controllers
from threada_site.tenancy.models import Credential, ProvisionedPerson, Tenant, User


def token_by(tenant: Tenant, steward: User, service: User) -> str:
    with unit_of_work(tenant.id):
        issued = issue_credential(
            principal=service, scopes=["identity:provision"], label="idp", ctx=stepped_up(acting(tenant, steward))
        )
    return issued.token


@pytest.fixture
def service(acme: Tenant) -> User:
    with unit_of_work(acme.id):
        define_role("provisioner", frozenset({Scope.IDENTITY_PROVISION}), ctx=acting_system(acme))
    return make_principal(acme, "provisioner", kind="service", roles=["provisioner"])


def refused(answer: object, status: int, code: str) -> None:
    assert answer.status_code == status, answer.content  # type: ignore[attr-defined]
    body = answer.json()  # type: ignore[attr-defined]
    assert body["schemas"] == ["urn:ietf:params:scim:api:messages:2.0:Error"]
    assert body["status"] == str(status)
    assert f"({code})" in body["detail"]


def test_requests_without_the_scope_are_refused_as_scim_errors(acme: Tenant) -> None:
    refused(Api().get("/scim/v2/acme/Users"), 401, "credential_missing")
    refused(Api("thr_wrong").get("/scim/v2/acme/Users"), 401, "credential_invalid")
    service = make_principal(acme, "robot", kind="service", roles=["requester"])
    answer = Provisioning(acme, make_token(acme, service)).get("/Users")
    refused(answer, 403, "scope_missing")
    with unit_of_work(acme.id):
        assert Receipt.objects.filter(kind="request.refused", reason_codes=["scope_missing"]).count() == 1


@pytest.mark.parametrize("kind", ["human", "agent"])
def test_only_services_provision(acme: Tenant, kind: str) -> None:
    ada = make_principal(acme, "ada", kind=kind, roles=["tenant_admin"])
    refused(Provisioning(acme, make_token(acme, ada)).get("/Users"), 403, "permission_denied")


def test_tokens_of_a_trusted_issuer_do_not_provision(
    acme: Tenant, service: User, scim: Provisioning, settings: Settings
) -> None:
    settings.THREADA_PUBLIC_URL = PUBLIC_URL
    issuer = Issuer()
    trust(acme, issuer, mapping(principal=service.username, scopes=["identity:provision"]))
    ann = scim.add("ann")["id"]
    for token in (issuer.token(), exchanged(issuer.token())):
        workload = Provisioning(acme, token)
        assert workload.api.get("/me").json()["scopes"] == ["identity:provision"]
        body = {"schemas": [USER], "userName": "bob"}
        refused(workload.send("POST", "/Users", body), 403, "permission_denied")
        refused(workload.send("PUT", f"/Users/{ann}", body), 403, "permission_denied")
        refused(workload.send("DELETE", f"/Users/{ann}"), 403, "permission_denied")
        refused(workload.get("/Users"), 403, "permission_denied")
    assert [user["userName"] for user in scim.get("/Users").json()["Resources"]] == ["ann"]


def test_path_of_another_tenant_is_not_found(acme: Tenant, scim: Provisioning) -> None:
    other = provisioning_of(make_tenant("other"))
    hers = other.add("eve")["id"]
    refused(scim.api.get(f"/scim/v2/other/Users/{hers}"), 404, "not_found")
    refused(scim.api.get("/scim/v2/nowhere/Users"), 404, "not_found")
    refused(scim.get(f"/Users/{hers}"), 404, "not_found")
    assert scim.get("/Users").json()["totalResults"] == 0
    scim.add("eve")


def test_token_is_not_valid_before_a_second_steward_confirms_it(acme: Tenant, service: User) -> None:
    ada, ben = (make_principal(acme, name, roles=["tenant_admin"]) for name in ("ada", "ben"))
    with unit_of_work(acme.id):
        turn_on_four_eyes(IDENTITY_FOUR_EYES, ctx=acting_system(acme))
    scim = Provisioning(acme, token_by(acme, ada, service))
    refused(scim.get("/Users"), 401, "credential_unconfirmed")
    with unit_of_work(acme.id):
        change_set = ChangeSet.objects.get()
        with pytest.raises(errors.SecondPersonRequired):
            publish(change_set, change_set.digest, ctx=acting(acme, ada))
        publish(change_set, change_set.digest, ctx=stepped_up(acting(acme, ben)))
        assert Credential.objects.get(user=service).confirmed_by == ben.id
    added = scim.add("ann")
    with unit_of_work(acme.id):
        person = ProvisionedPerson.objects.get().user
        assert person.public_id == added["id"]
        assert AccountDependence.objects.get(user=person, ended_at=None).depends_on_id == service.id
        assert GrantRecord.objects.get(user=person).confirmed_at is not None


def test_accounts_depend_on_the_steward_who_alone_issued_the_token(acme: Tenant, service: User) -> None:
    ada = make_principal(acme, "ada", roles=["tenant_admin"])
    scim = Provisioning(acme, token_by(acme, ada, service))
    added = scim.add("ann")
    group = scim.add_group("Board", added["id"])
    with unit_of_work(acme.id):
        person = User.objects.get(id=ids.parse_public_id(ids.PRINCIPAL, added["id"]))
        assert ada.id in read_controllers(acme.id, [person.id])[person.id].people  # type: ignore[union-attr]
        grants = GrantRecord.objects.filter(user=person)
        assert {(row.kind, row.source, row.granted_by, row.confirmed_at) for row in grants} == {
            ("member", "scim", ada.id, None),
            ("group", "scim", ada.id, None),
        }
    assert group["displayName"] == "Board"


def test_people_whom_such_a_client_gives_another_external_id_depend_on_the_steward_too(
    acme: Tenant, service: User, scim: Provisioning
) -> None:
    """An identity provider that names people by external id would sign in somebody else as the person."""
    ann = scim.add("ann", externalId="x1")["id"]
    person = ids.parse_public_id(ids.PRINCIPAL, ann)
    assert person is not None
    with unit_of_work(acme.id):
        confirm_account(User.objects.get(id=person), ctx=acting_system(acme))
    ada = make_principal(acme, "ada", roles=["tenant_admin"])
    other = Provisioning(acme, token_by(acme, ada, service))
    for name, value, count in (("title", "Boss", 0), ("externalId", "x2", 2)):
        assert other.patch(f"/Users/{ann}", {"op": "replace", "path": name, "value": value}).status_code == 204
        with unit_of_work(acme.id):
            controllers = read_controllers(acme.id, [person])[person]
            assert len(controllers.people & {service.id, ada.id}) == count  # type: ignore[union-attr]


@pytest.mark.parametrize("start", [2**31 + 2, 10**30])
def test_pages_beyond_every_number_are_refused(scim: Provisioning, start: int) -> None:
    answer = scim.api.get("/scim/v2/acme/Users", {"startIndex": str(start)})
    assert (answer.status_code, answer.json()["scimType"]) == (400, "invalidValue")


def test_sizes_are_limited(scim: Provisioning) -> None:
    def post(body: dict) -> tuple[int, str]:
        answer = scim.send("POST", "/Users", {"schemas": [USER], "userName": "ann", **body})
        return answer.status_code, answer.json().get("scimType", "")

    assert post({"userName": "a" * 256}) == (400, "invalidValue")
    assert post({"externalId": "a\nb"}) == (400, "invalidValue")
    assert post({"title": "a" * 40_000}) == (400, "invalidValue")
    assert post({"phoneNumbers": [{"value": "1"}] * 10_000}) == (400, "tooMany")
    assert post({"title": "a" * 2_000_000})[0] == 413
    answer = scim.send("POST", "/Users", b'{"userName":')
    assert (answer.status_code, answer.json()["scimType"]) == (400, "invalidSyntax")
    operations = [{"op": "add", "path": "title", "value": "x"}] * 201
    assert scim.patch(f"/Users/{scim.add('ann')['id']}", *operations).json()["scimType"] == "tooMany"


def test_quota_of_people(scim: Provisioning, settings: object) -> None:
    settings.THREADA_QUOTAS = {**settings.THREADA_QUOTAS, "provisioned_people": 1}  # type: ignore[attr-defined]
    scim.add("ann")
    answer = scim.send("POST", "/Users", {"schemas": [USER], "userName": "bob"})
    assert "quota_exceeded" in answer.json()["detail"]


def test_requests_are_limited(scim: Provisioning, rate_limits: Callable[..., None]) -> None:
    rate_limits(credential=1)
    answers = [scim.get("/Users") for _ in range(30)]
    assert {answer.status_code for answer in answers} == {200, 429}
    limited = next(answer for answer in answers if answer.status_code == 429)
    assert limited.json()["schemas"] == ["urn:ietf:params:scim:api:messages:2.0:Error"]


def test_versions(scim: Provisioning) -> None:
    ann = scim.add("ann")["id"]
    body = {"schemas": [USER], "userName": "ann", "title": "x"}
    assert scim.send("PUT", f"/Users/{ann}", body, headers={"If-Match": 'W/"1"'}).status_code == 200
    refused(
        scim.send("PUT", f"/Users/{ann}", body | {"title": "y"}, headers={"If-Match": 'W/"1"'}),
        412,
        "precondition_failed",
    )
    assert scim.send("GET", f"/Users/{ann}", headers={"If-None-Match": 'W/"2"'}).status_code == 304


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ('userName eq "ANN"', ["ann"]),
        ('externalId eq "x1"', ["ann"]),
        ('externalId eq "X1"', []),
        ("active eq false", ["bob"]),
        ('emails.value eq "ANN@example.com"', ["ann"]),
        ('emails[type eq "work"]', ["ann"]),
        ('displayName co "n" and not (active eq false)', ["ann"]),
        ('userName eq "ann" or userName eq "bob"', ["ann", "bob"]),
        ('userName eq "%"', []),
    ],
)
def test_filters(scim: Provisioning, text: str, found: list[str]) -> None:
    scim.add("ann", externalId="x1", displayName="Ann", emails=[{"value": "ann@example.com", "type": "work"}])
    scim.add("bob", active=False, displayName="Bobn")
    page = scim.api.get("/scim/v2/acme/Users", {"filter": text}).json()
    assert [user["userName"] for user in page["Resources"]] == found
    assert page["totalResults"] == len(found)


@pytest.mark.parametrize(
    "text",
    ['groups.value eq "x"', 'unknown eq "x"', "userName eq", "name.givenName gt 3", "(" * 100, 'title eq "\\ud800"'],
)
def test_other_filters_are_refused(scim: Provisioning, text: str) -> None:
    answer = scim.api.get("/scim/v2/acme/Users", {"filter": text})
    assert (answer.status_code, answer.json()["scimType"]) == (400, "invalidFilter")


def test_pages(scim: Provisioning) -> None:
    for name in ("a", "b", "c"):
        scim.add(name)
    page = scim.get("/Users?startIndex=2&count=1").json()
    assert (page["totalResults"], page["itemsPerPage"], page["startIndex"]) == (3, 1, 2)
    assert [user["userName"] for user in page["Resources"]] == ["b"]
