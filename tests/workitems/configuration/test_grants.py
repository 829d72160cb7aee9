"""Scopes on one workflow or integration: by the API, the command and `kind: Grant` documents."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.client import Api
from tests.console.sign_in import sign_in
from tests.factories import make_principal, make_token
from tests.threada_site.identity.test_commands import Manage, Said, manage
from tests.workitems.office import Office
from threada_site.database.unit_of_work import unit_of_work
from threada_site.identity.grants.object_grants import object_named, object_scopes
from threada_site.kernel.context import Scope
from threada_site.tenancy.authority_models import ChangeSet
from threada_site.tenancy.models import Tenant

__all__ = ["manage"]

PAYMENTS = "/workflows/payments/grants/wim"


def held(office: Office, name: str = "wim", kind: str = "workflow", slug: str = "payments") -> set[str]:
    with unit_of_work(office.tenant.id):
        target = object_named(kind, slug, ctx=office.system)
        return {scope.value for scope in object_scopes(office.people[name], target)}


class TestApi:
    def test_a_steward_sets_reads_and_withdraws_scopes(self, office: Office) -> None:
        ada = office.api("ada")
        body = {"scopes": ["decisions:decide", "workitems:read"]}
        answer = {"principal": "wim", "kind": "workflow", "object_id": "payments", "scopes": body["scopes"]}
        assert ada.replace(PAYMENTS, body).json() == answer
        assert ada.get(PAYMENTS).json() == answer
        assert ada.put(PAYMENTS, body).json()["reason_code"] == "precondition_required"
        listed = ada.get("/grants").json()["data"]
        assert {(row["principal"], row["kind"], row["object_id"], row["scope"]) for row in listed} == {
            ("wim", "workflow", "payments", scope) for scope in body["scopes"]
        }
        assert {row["granted_by"] for row in listed} == {office.people["ada"].public_id}
        assert ada.replace(PAYMENTS, {"scopes": ["workitems:read"]}).json()["scopes"] == ["workitems:read"]
        assert ada.delete(PAYMENTS).status_code == 204
        assert (held(office), ada.get("/grants").json()["data"]) == (set(), [])

    @pytest.mark.parametrize(
        ("path", "body", "reason"),
        [
            ("/workflows/nowhere/grants/wim", {"scopes": []}, "not_found"),
            ("/integrations/payments/grants/wim", {"scopes": []}, "not_found"),
            ("/workflows/payments/grants/nobody", {"scopes": []}, "not_found"),
            (PAYMENTS, {"scopes": ["telemetry:read"]}, "invalid_request"),
            (PAYMENTS, {"scopes": ["all"]}, "invalid_request"),
            (PAYMENTS, {}, "invalid_request"),
        ],
    )
    def test_what_does_not_apply_is_refused(self, office: Office, path: str, body: dict[str, Any], reason: str) -> None:
        answer = office.api("ada").put(path, body, headers={"If-Match": "*"})
        assert answer.json()["reason_code"] == reason

    def test_strangers_find_nothing(self, office: Office, other_tenant: Tenant) -> None:
        office.api("ada").replace(PAYMENTS, {"scopes": ["workitems:read"]})
        eve = Api(make_token(other_tenant, make_principal(other_tenant, "eve", roles=["tenant_admin"])))
        assert eve.get(PAYMENTS).status_code == 404
        assert eve.put(PAYMENTS, {"scopes": []}).status_code == 404
        assert eve.get("/grants").json()["data"] == []

    def test_only_stewards_grant(self, office: Office) -> None:
        office.join("manager", roles=())
        office.api("ada").replace("/workflows/payments/grants/manager", {"scopes": ["workitems:read"]})
        for name in ("rita", "fay", "wim"):
            for path, send in ((PAYMENTS, "put"), (PAYMENTS, "get"), ("/grants", "get")):
                sent = getattr(office.api(name), send)(path, *([{"scopes": []}] if send == "put" else []))
                assert sent.status_code == 403

    def test_a_second_steward_confirms(self, office: Office) -> None:
        office.join("amy", roles=("tenant_admin",))
        answer = office.api("ada").replace(PAYMENTS, {"scopes": ["decisions:decide"]})
        assert (answer.status_code, held(office)) == (202, set())
        with unit_of_work(office.tenant.id):
            digest = ChangeSet.objects.get().digest
        publish = f"/change-sets/{answer.json()['change_set_id']}/publish"
        assert office.api("ada").post(publish, {"digest": digest}).json()["reason_code"] == "second_person_required"
        assert office.api("amy").post(publish, {"digest": digest}).status_code == 200
        assert held(office) == {"decisions:decide"}
        (row,) = office.api("ada").get("/grants").json()["data"]
        assert (row["granted_by"], row["confirmed_by"]) == (
            office.people["ada"].public_id,
            office.people["amy"].public_id,
        )

    def test_a_second_account_of_the_same_person_confirms_nothing(self, office: Office) -> None:
        office.join("amy", roles=("tenant_admin",))
        office.depend("amy", "ada")
        answer = office.api("ada").replace(PAYMENTS, {"scopes": ["decisions:decide"]})
        with unit_of_work(office.tenant.id):
            digest = ChangeSet.objects.get().digest
        publish = f"/change-sets/{answer.json()['change_set_id']}/publish"
        assert office.api("amy").post(publish, {"digest": digest}).json()["reason_code"] == "second_person_required"
        assert held(office) == set()


class TestCommand:
    def test_the_operator_grants_and_withdraws(self, manage: Manage, office: Office) -> None:
        office.join("amy", roles=("tenant_admin",))
        arguments = ("grant", "--tenant", office.tenant.slug, "--principal", "wim", "--workflow", "payments")
        said = manage(*arguments, "--scopes", "decisions:decide workitems:read")
        assert said == Said(0, "decisions:decide workitems:read\n", "")
        assert manage(*arguments, "--scopes", "workitems:read", "--withdraw") == Said(0, "decisions:decide\n", "")
        assert manage(*arguments, "--scopes", "decisions:decide", "--withdraw") == Said(0, "none\n", "")
        assert manage(*arguments, "--scopes", "telemetry:read").status == 1
        assert manage("grant", "--tenant", office.tenant.slug, "--principal", "wim", "--scopes", "x").status == 2


class TestIntegrations:
    """Reading one workflow shows neither other integrations nor addresses and secrets."""

    def reader(self, office: Office, *grants: tuple[str, str, Scope]) -> Api:
        office.join("reader", roles=())
        office.put_bank()
        for kind, slug, scope in grants:
            path = f"/{kind}s/{slug}/grants/reader"
            assert office.api("ada").replace(path, {"scopes": [scope.value]}).status_code == 200
        return office.api("reader")

    def test_a_reader_of_the_tenant_sees_all(self, office: Office) -> None:
        office.put_bank()
        shown = office.api("wim").get("/integrations").json()["data"]
        assert all(row["spec"] for row in shown)
        assert "bank" in {row["integration_id"] for row in shown}

    def test_a_reader_of_one_workflow_sees_what_it_names_without_its_configuration(self, office: Office) -> None:
        reader = self.reader(office, ("workflow", "payments", Scope.WORKITEMS_READ))
        shown = {row["integration_id"]: row["spec"] for row in reader.get("/integrations").json()["data"]}
        assert "bank" in shown
        assert set(shown.values()) == {None}
        assert reader.get("/integrations/bank").json()["spec"] is None
        assert reader.get("/integrations/bank/health").status_code == 403

    def test_a_requester_sees_no_configuration(self, office: Office) -> None:
        office.put_bank()
        requester = office.api("rita")
        shown = {row["integration_id"]: row["spec"] for row in requester.get("/integrations").json()["data"]}
        assert "bank" in shown
        assert set(shown.values()) == {None}
        assert requester.get("/integrations/bank").json()["spec"] is None
        assert requester.get("/integrations/bank/health").status_code == 403
        browser = sign_in(office.people["rita"])
        assert ">bank<" not in browser.get("/console/integrations/integration/").content.decode()
        assert browser.get("/console/integrations/integration/bank/").status_code == 404
        assert "/integration/bank/" not in browser.get("/console/integrations/execution/operations/").content.decode()
        assert (
            "/integration/bank/"
            in sign_in(office.people["wim"]).get("/console/integrations/execution/operations/").content.decode()
        )

    def test_a_reader_of_another_workflow_does_not_know_of_it(self, office: Office) -> None:
        office.upsert_workflow("travel", actions=["book"])
        reader = self.reader(office, ("workflow", "travel", Scope.WORKITEMS_READ))
        assert reader.get("/integrations").json()["data"] == []
        assert reader.get("/integrations/bank").status_code == 404
        assert reader.get("/integrations/bank/health").status_code == 404

    def test_a_scope_on_it_shows_its_configuration(self, office: Office) -> None:
        office.upsert_workflow("travel", actions=["book"])
        reader = self.reader(
            office,
            ("workflow", "travel", Scope.WORKITEMS_READ),
            ("integration", "bank", Scope.INTEGRATIONS_MANAGE),
        )
        assert reader.get("/integrations/bank").json()["spec"]["base_url"]
        assert reader.get("/integrations/bank/health").status_code == 200


class TestDocuments:
    def apply(self, manage: Manage, office: Office, folder: Path, spec: str, name: str = "wim") -> Said:
        (folder / "grant.yaml").write_text(f"kind: Grant\nid: {name}\nspec: {spec}\n")
        return manage("apply", str(folder), "--tenant", office.tenant.slug)

    def test_a_document_states_all_scopes_of_a_principal(self, manage: Manage, office: Office, tmp_path: Path) -> None:
        office.put_bank()
        both = '{workflows: {payments: ["decisions:decide"]}, integrations: {bank: ["actions:execute"]}}'
        assert self.apply(manage, office, tmp_path, both).status == 0
        assert (held(office), held(office, kind="integration", slug="bank")) == (
            {"decisions:decide"},
            {"actions:execute"},
        )
        assert self.apply(manage, office, tmp_path, both).out.endswith("1 documents, 0 changed.\n")
        assert self.apply(manage, office, tmp_path, '{workflows: {payments: ["workitems:read"]}}').status == 0
        assert (held(office), held(office, kind="integration", slug="bank")) == ({"workitems:read"}, set())
        assert self.apply(manage, office, tmp_path, "{}").status == 0
        assert held(office) == set()

    @pytest.mark.parametrize(
        ("spec", "name"),
        [
            ('{workflows: {nowhere: ["workitems:read"]}}', "wim"),
            ('{workflows: {payments: ["telemetry:read"]}}', "wim"),
            ('{workflows: {payments: ["all"]}}', "wim"),
            ("{}", "nobody"),
        ],
    )
    def test_what_does_not_apply_is_refused(
        self, manage: Manage, office: Office, tmp_path: Path, spec: str, name: str
    ) -> None:
        assert self.apply(manage, office, tmp_path, spec, name).status == 1
