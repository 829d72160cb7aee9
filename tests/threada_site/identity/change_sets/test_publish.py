"""Change sets through the API: proposed, published, rejected, stale."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from policies.models import Overlay
from tests.client import Api
from tests.contract.world import made, rows_of_everything
from tests.factories import acting_system, make_principal, make_token
from tests.threada_site.identity.change_sets.offices import Office, publish, refusal
from tests.threada_site.identity.test_services import kinds, last_body
from threada_site.database.unit_of_work import unit_of_work
from threada_site.identity.change_sets.permissions import waiting_for
from threada_site.identity.credentials import confirm_credential, issue_credential
from threada_site.identity.owners import set_owner
from threada_site.kernel import clock
from threada_site.tenancy.authority_models import AccountDependence
from threada_site.tenancy.change_sets import OPERATIONS
from threada_site.tenancy.models import FourEyesRule, Tenant, User

WRITTEN_BY_PROPOSING = frozenset(
    {"telemetry_receipt", "telemetry_sealqueueentry", "api_idempotencyrecord", "tenancy_changeset"}
)


class TestProposing:
    def test_one_service_cannot_remove_an_overlay_or_bind_a_lenient_policy(self, office: Office) -> None:
        before = rows_of_everything(but=WRITTEN_BY_PROPOSING)
        removal, binding = office.remove_overlay(office.robot), office.bind(office.robot)
        assert (removal.status_code, binding.status_code) == (202, 202)
        assert rows_of_everything(but=WRITTEN_BY_PROPOSING) == before
        body = removal.json()
        assert removal.headers["Location"] == f"/change-sets/{body['change_set_id']}"
        assert (body["status"], body["rule"]) == ("proposed", "policy_four_eyes")
        assert kinds(office.tenant)[-2:] == ["change_set.proposed", "change_set.proposed"]
        assert last_body(office.tenant)["inputs"]["digest"] == binding.json()["digest"]
        for proposed in (removal, binding):
            assert refusal(publish(office.robot, proposed)) == (403, "person_required")

    def test_without_the_rule_nothing_is_proposed(self, office: Office) -> None:
        with unit_of_work(office.tenant.id):
            FourEyesRule.objects.all().delete()
        assert office.bind(office.robot).status_code == 201
        assert office.remove_overlay(office.robot).status_code == 204
        assert made(office.ada.get("/change-sets"))["data"] == []

    def test_an_equal_open_change_is_proposed_once(self, office: Office) -> None:
        first, second = office.bind(office.robot), office.bind(office.ada)
        assert first.json() == second.json()
        assert len(made(office.ada.get("/change-sets", {"status": "proposed"}))["data"]) == 1

    def test_the_answer_is_repeated_under_its_key(self, office: Office) -> None:
        first = office.bind(office.robot, key="one")
        made(office.ben.post(first.headers["Location"] + "/reject", {"reason": "No."}))
        again = office.bind(office.robot, key="one")
        assert (again.status_code, again.json()) == (202, first.json())
        assert again.headers["Idempotent-Replayed"] == "true"
        assert office.bind(office.robot, key="two").json()["change_set_id"] != first.json()["change_set_id"]

    def test_a_change_that_changes_nothing_is_answered_at_once(self, office: Office) -> None:
        body = {"policy_id": "strict", "scope": {"workflow": "wages"}}
        assert office.robot.post("/overlays", body).status_code == 200


class TestPublishing:
    def test_an_independent_person_publishes(self, office: Office) -> None:
        proposed = office.remove_overlay(office.ada)
        assert refusal(publish(office.ada, proposed)) == (403, "second_person_required")
        assert office.is_bound()
        published = publish(office.ben, proposed)
        assert (published.status_code, published.json()["status"]) == (200, "published")
        assert not office.is_bound()
        assert kinds(office.tenant)[-2:] == ["overlay.removed", "change_set.published"]
        assert refusal(publish(office.ben, proposed)) == (409, "change_set_closed")

    def test_a_second_account_of_the_proposer_is_refused(self, office: Office) -> None:
        office.depends("ben", on="ada")
        proposed = office.remove_overlay(office.ada)
        assert refusal(publish(office.ben, proposed)) == (403, "second_person_required")
        with unit_of_work(office.tenant.id):
            AccountDependence.objects.update(ended_at=clock.now(), ended_how="operator")
        assert publish(office.ben, proposed).status_code == 200

    def test_two_accounts_of_a_third_person_are_refused(self, office: Office) -> None:
        make_principal(office.tenant, "cleo", roles=["tenant_admin"])
        office.depends("ada", on="cleo")
        office.depends("ben", on="cleo")
        proposed = office.remove_overlay(office.ada)
        assert refusal(publish(office.ben, proposed)) == (403, "second_person_required")

    def test_the_owner_of_the_service_is_refused(self, office: Office) -> None:
        with unit_of_work(office.tenant.id):
            set_owner(office.principal("robot"), "ada", ctx=acting_system(office.tenant))
        proposed = office.bind(office.robot)
        assert refusal(publish(office.ada, proposed)) == (403, "second_person_required")
        assert publish(office.ben, proposed).status_code == 200

    def test_a_former_owner_of_the_service_is_refused(self, office: Office) -> None:
        operator = acting_system(office.tenant)
        with unit_of_work(office.tenant.id):
            set_owner(office.principal("robot"), "ada", ctx=operator)
        proposed = office.bind(office.robot)
        with unit_of_work(office.tenant.id):
            set_owner(office.principal("robot"), "ben", ctx=operator)
        assert refusal(publish(office.ada, proposed)) == (403, "second_person_required")
        assert refusal(publish(office.ben, proposed)) == (403, "second_person_required")

    def test_the_owner_of_a_service_that_issued_the_credential_is_refused(self, office: Office) -> None:
        clerk = make_principal(office.tenant, "clerk", kind="service", roles=["tenant_admin"])
        with unit_of_work(office.tenant.id):
            set_owner(office.principal("robot"), "ada", ctx=acting_system(office.tenant))
            issued = issue_credential(principal=clerk, scopes=["policies:publish"], ctx=office.context("robot"))
            confirm_credential(issued.credential, ctx=acting_system(office.tenant))
        proposed = office.bind(Api(issued.token))
        assert refusal(publish(office.ada, proposed)) == (403, "second_person_required")
        assert publish(office.ben, proposed).status_code == 200

    def test_whoever_issued_a_credential_of_the_service_is_refused(self, office: Office) -> None:
        with unit_of_work(office.tenant.id):
            issued = issue_credential(
                principal=office.principal("robot"),
                scopes=["policies:publish"],
                expires_in=timedelta(hours=1),
                ctx=office.context("ada"),
            )
        proposed = office.bind(Api(issued.token))
        assert refusal(publish(office.ada, proposed)) == (403, "second_person_required")
        with unit_of_work(office.tenant.id):
            issued.credential.revoked_at = clock.now()
            issued.credential.save()
        assert refusal(publish(office.ada, proposed)) == (403, "second_person_required")
        assert publish(office.ben, proposed).status_code == 200

    def test_the_scopes_of_rule_and_operation_are_needed(self, office: Office) -> None:
        author = Api(make_token(office.tenant, make_principal(office.tenant, "arno", roles=["policy_author"])))
        proposed = office.bind(office.robot)
        assert refusal(publish(author, proposed)) == (404, "not_found")
        viewer = Api(make_token(office.tenant, make_principal(office.tenant, "vera", roles=["viewer"])))
        assert made(viewer.get("/change-sets"))["data"] == []

    def test_another_tenant_sees_nothing(self, office: Office, other_tenant: Tenant) -> None:
        stranger = Api(make_token(other_tenant, make_principal(other_tenant, "eve", roles=["tenant_admin"])))
        proposed = office.bind(office.robot)
        assert refusal(publish(stranger, proposed)) == (404, "not_found")
        assert made(stranger.get("/change-sets"))["data"] == []

    def test_another_digest_changes_nothing(self, office: Office) -> None:
        location = office.bind(office.robot).headers["Location"]
        answer = office.ben.post(f"{location}/publish", {"digest": "0" * 64})
        assert refusal(answer) == (409, "change_set_stale")
        assert made(office.ben.get(location))["status"] == "proposed"

    def test_what_was_done_meanwhile_is_stale(self, office: Office) -> None:
        one, two = office.remove_overlay(office.ada), office.bind(office.ada)
        assert publish(office.ben, one).status_code == 200
        assert publish(office.ben, two).status_code == 200
        again = office.ada.post(
            "/overlays", {"policy_id": "lenient", "scope": {"workflow": "wages"}, "ends_at": "2030-01-01T00:00:00Z"}
        )
        last = office.ada.post(
            "/overlays", {"policy_id": "lenient", "scope": {"workflow": "wages"}, "ends_at": "2031-01-01T00:00:00Z"}
        )
        assert publish(office.ben, again).status_code == 200
        assert refusal(publish(office.ben, last)) == (409, "change_set_stale")
        assert made(office.ben.get(last.headers["Location"]))["status"] == "stale"
        assert "change_set.stale" in kinds(office.tenant)
        assert refusal(publish(office.ben, last)) == (409, "change_set_closed")

    def test_a_change_whose_object_is_gone_is_stale(self, office: Office) -> None:
        proposed = office.remove_overlay(office.ada)
        with unit_of_work(office.tenant.id):
            Overlay.objects.all().delete()
        assert refusal(publish(office.ben, proposed)) == (409, "change_set_stale")
        assert made(office.ben.get(proposed.headers["Location"]))["status"] == "stale"


class TestRejecting:
    def test_a_reviewer_rejects_and_the_proposer_withdraws(self, office: Office) -> None:
        first = office.remove_overlay(office.robot)
        rejected = office.ben.post(first.headers["Location"] + "/reject", {"reason": " Keep it. "})
        assert (rejected.json()["status"], rejected.json()["reason"]) == ("rejected", "Keep it.")
        assert refusal(publish(office.ben, first)) == (409, "change_set_closed")
        second = office.remove_overlay(office.robot)
        withdrawn = office.robot.post(second.headers["Location"] + "/reject", {"reason": "Wrong."})
        assert withdrawn.json()["status"] == "rejected"
        assert office.is_bound()
        assert kinds(office.tenant)[-1] == "change_set.rejected"

    def test_only_an_independent_reviewer_rejects(self, office: Office) -> None:
        with unit_of_work(office.tenant.id):
            set_owner(User.objects.get(username="robot"), "ada", ctx=acting_system(office.tenant))
        location = office.remove_overlay(office.robot).headers["Location"]
        answer = office.ada.post(f"{location}/reject", {"reason": "No."})
        assert refusal(answer) == (403, "second_person_required")
        assert made(office.ben.get(location))["status"] == "proposed"
        assert made(office.ben.post(f"{location}/reject", {"reason": "No."}))["status"] == "rejected"

    def test_another_service_cannot_reject(self, office: Office) -> None:
        other = make_principal(office.tenant, "other", kind="service", roles=["tenant_admin"])
        location = office.bind(office.robot).headers["Location"]
        answer = Api(make_token(office.tenant, other)).post(f"{location}/reject", {"reason": "No."})
        assert refusal(answer) == (403, "person_required")


def test_an_operation_of_a_later_version_waits_for_it(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    """After a rollback, open change sets name operations that no module registers."""
    proposed = office.remove_overlay(office.robot)
    location = proposed.headers["Location"]
    removed = OPERATIONS.pop("overlay.remove")
    try:
        before = rows_of_everything()
        for answer in (publish(office.ben, proposed), office.ben.post(f"{location}/reject", {"reason": "No."})):
            assert refusal(answer) == (409, "change_set_stale")
            assert answer.json()["detail"] == (
                "This version of Threada does not know the change overlay.remove. The change set waits for a version "
                "that knows it. Its proposer can withdraw it."
            )
        assert rows_of_everything() == before
        assert made(office.ben.get(location))["operation"] == "overlay.remove"
        with unit_of_work(office.tenant.id):
            assert waiting_for(office.context("ben")) == []
        second = office.bind(office.robot)
    finally:
        OPERATIONS["overlay.remove"] = removed
    assert publish(office.ben, proposed).status_code == 200
    assert not office.is_bound()
    monkeypatch.delitem(OPERATIONS, "overlay.put")
    withdrawn = office.robot.post(second.headers["Location"] + "/reject", {"reason": "Wrong."})
    assert (withdrawn.status_code, withdrawn.json()["status"]) == (200, "rejected")


@pytest.mark.parametrize(
    "read",
    [
        lambda sent: sent["renamed"],
        lambda sent: sent["scope"]["renamed"],
        lambda sent: int(sent["policy"]),
        lambda sent: sent["policy"]["x"],
    ],
)
def test_arguments_of_another_version_are_stale(
    office: Office, monkeypatch: pytest.MonkeyPatch, read: Callable[[Any], object]
) -> None:
    """The operation is known, but names or types of its arguments changed since the change was proposed."""
    proposed = office.bind(office.robot)
    known = OPERATIONS["overlay.put"]
    monkeypatch.setitem(OPERATIONS, "overlay.put", replace(known, carry_out=lambda sent, _ctx: read(sent)))
    answer = publish(office.ben, proposed)
    assert refusal(answer) == (409, "change_set_stale")
    assert "another version of Threada" in answer.json()["detail"]
    change_set = made(office.ben.get(proposed.headers["Location"]))
    assert (change_set["status"], "Propose it again" in change_set["reason"]) == ("stale", True)
    assert "change_set.stale" in kinds(office.tenant)


@pytest.mark.parametrize("path", ["/change-sets/chg_x", "/change-sets/ov_01kb4x2v8qf3m9r7t5w1y0z6ab"])
def test_unknown_change_sets_are_not_found(office: Office, path: str) -> None:
    assert refusal(office.ada.get(path)) == (404, "not_found")
