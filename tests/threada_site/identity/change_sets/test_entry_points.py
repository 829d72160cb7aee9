"""A rule is not changed by one service or person: packs, plans of documents and groups, by API, console and command."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from pytest_django import Settings

from policies import selectors
from policies.configuration.lists import upsert_list
from policies.documents.list import parse_list
from tests.console.sign_in import confirm, sign_in
from tests.contract.world import made
from tests.factories import acting_system
from tests.threada_site.identity.change_sets.offices import Office, make_office, publish
from tests.threada_site.identity.test_commands import Manage, manage
from threada_site.database.unit_of_work import unit_of_work
from threada_site.identity.change_sets.publish import reject
from threada_site.identity.groups import define_group
from threada_site.kernel import errors
from threada_site.tenancy.authority_models import ChangeSet
from threada_site.tenancy.change_sets import store_proposal
from threada_site.tenancy.models import Tenant

__all__ = ["manage"]

LENIENT_PACK: dict[str, Any] = {
    "kind": "Pack",
    "id": "relief",
    "spec": {
        "version": "1",
        "documents": [
            {"kind": "List", "id": "sanctions", "spec": {"items": []}},
            {"kind": "Overlay", "policy": "lenient", "scope": {"workflow": "wages"}},
        ],
    },
}


@pytest.fixture
def office(tenant: Tenant) -> Office:
    """Return a tenant under `policy_four_eyes` with a list of sanctions."""
    found = make_office(tenant)
    with unit_of_work(tenant.id):
        upsert_list("sanctions", parse_list({"items": ["Initech"]}), ctx=acting_system(tenant))
    found.require()
    return found


def sanctions(office: Office) -> list[str]:
    ctx = office.context("ada")
    with unit_of_work(ctx.tenant_id):
        current = selectors.lists(ctx).get(slug="sanctions").current_version
        return list(current.spec) if current else []


def policies_bound(office: Office) -> list[str]:
    bound = {row["policy_id"] for row in made(office.ada.get("/overlays"))["data"]}
    return sorted(bound & {"strict", "lenient"})


def test_a_pack_cannot_empty_a_list_by_the_api(office: Office) -> None:
    proposed = office.robot.post("/packs", {"document": LENIENT_PACK})
    assert proposed.status_code == 202
    assert (sanctions(office), policies_bound(office)) == (["Initech"], ["strict"])
    shown = made(office.ben.get(proposed.headers["Location"]))
    assert "Initech" in json.dumps(shown["before"])
    assert {"kind": "List", "name": "sanctions", "change": "changed"} in shown["after"]["plan"]
    assert publish(office.ben, proposed).status_code == 200
    assert (sanctions(office), policies_bound(office)) == ([], ["lenient", "strict"])
    removal = office.robot.send("DELETE", "/packs/relief")
    assert removal.status_code == 202
    assert policies_bound(office) == ["lenient", "strict"]
    assert publish(office.ada, removal).status_code == 200
    assert policies_bound(office) == ["strict"]


def test_a_plan_is_stale_if_one_of_its_states_changed(office: Office) -> None:
    proposed = office.robot.post("/packs", {"document": LENIENT_PACK})
    assert publish(office.ben, office.bind(office.ada)).status_code == 200
    answer = publish(office.ben, proposed)
    assert (answer.status_code, answer.json()["reason_code"]) == (409, "change_set_stale")
    assert sanctions(office) == ["Initech"]


def test_a_pack_cannot_empty_a_list_by_the_console(office: Office) -> None:
    browser = sign_in(office.principal("ada"))
    text = browser.post("/console/policies/pack/new/", {"document": json.dumps(LENIENT_PACK)}, follow=True)
    assert "A second person must publish this change: " in text.content.decode()
    assert (sanctions(office), policies_bound(office)) == (["Initech"], ["strict"])
    listed = confirm(browser, "/console/policies/list/sanctions/change-items/", {"items": ""}, follow=True)
    assert "A second person must publish this change: " in listed.content.decode()
    assert sanctions(office) == ["Initech"]


def test_a_command_proposes_and_prints_the_id(office: Office, manage: Manage, tmp_path: Path) -> None:
    for number, document in enumerate(LENIENT_PACK["spec"]["documents"]):
        (tmp_path / f"{number}.json").write_text(json.dumps(document))
    plan = manage("apply", str(tmp_path), "--tenant", "acme", "--plan")
    assert (plan.status, plan.err) == (0, "")
    assert "would be changed" in plan.out
    said = manage("apply", str(tmp_path), "--tenant", "acme")
    assert (said.status, said.err) == (0, "")
    assert re.match(r"chg_\w{26}\nNothing is changed yet\. An independent person must publish", said.out)
    assert (sanctions(office), policies_bound(office)) == (["Initech"], ["strict"])
    (file,) = [tmp_path / "pack.json"]
    file.write_text(json.dumps(LENIENT_PACK))
    assert manage("pack", "install", str(file), "--tenant", "acme").out.startswith("chg_")
    shown = made(office.ben.get(f"/change-sets/{said.out.splitlines()[0]}"))
    assert shown["proposed_by"] is None
    answer = office.ben.post(f"/change-sets/{shown['change_set_id']}/publish", {"digest": shown["digest"]})
    assert answer.status_code == 200
    assert (sanctions(office), policies_bound(office)) == ([], ["lenient", "strict"])


def test_pruning_is_proposed_too(office: Office, manage: Manage, tmp_path: Path, settings: Settings) -> None:
    settings.THREADA_EGRESS_ALLOW = ["127.0.0.1/32"]
    assert manage("export_config", str(tmp_path), "--tenant", "acme").status == 0
    (overlay,) = tmp_path.glob("overlays/strict.*")
    overlay.unlink()
    said = manage("apply", str(tmp_path), "--tenant", "acme", "--prune")
    assert said.status == 0
    assert policies_bound(office) == ["strict"]
    shown = made(office.ben.get(f"/change-sets/{said.out.splitlines()[0]}"))
    answer = office.ben.post(f"/change-sets/{shown['change_set_id']}/publish", {"digest": shown["digest"]})
    assert answer.status_code == 200, answer.content
    assert policies_bound(office) == []


def test_the_operator_too_needs_a_second_person_for_a_group(office: Office) -> None:
    ctx = acting_system(office.tenant)
    with pytest.raises(errors.ConfirmationRequired) as refused, unit_of_work(office.tenant.id):
        define_group("board", ["ada"], ctx=ctx)
    assert refused.value.change.rule == "policy_four_eyes"
    with unit_of_work(office.tenant.id):
        assert not ChangeSet.objects.exists()


def test_a_change_set_of_the_operator_is_withdrawn_by_a_person_only(office: Office) -> None:
    ctx = acting_system(office.tenant)
    with pytest.raises(errors.ConfirmationRequired) as refused, unit_of_work(office.tenant.id):
        define_group("board", ["ada"], ctx=ctx)
    with unit_of_work(office.tenant.id):
        proposed = store_proposal(refused.value, ctx=ctx)
        assert proposed.proposed_by is None
        with pytest.raises(errors.PersonRequired):
            reject(proposed, "No.", ctx=ctx)
        assert ChangeSet.objects.get().status == "proposed"
        assert reject(proposed, "No.", ctx=office.context("ben")).status == "rejected"
