"""Votes that must not count, through the API and by the console's button, alone and in a batch behind one that could
count: each has its own typed problem, no row of any table changes, and a receipt says who tried."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import orjson
import pytest
from django.apps import apps
from django.contrib.messages import get_messages
from django.db import connection
from django.urls import reverse

from telemetry.models import Receipt
from tests.client import Api
from tests.console.sign_in import sign_in
from tests.factories import make_principal, make_token
from tests.workitems.executions.test_mutated_envelopes import undone
from tests.workitems.office import Office
from threada_site.database.roles import platform_role
from threada_site.database.unit_of_work import unit_of_work
from threada_site.kernel import ids
from threada_site.kernel.errors import REASONS
from threada_site.tenancy.models import Tenant, User
from workitems.models import DecisionStep, WorkItem

pytestmark = pytest.mark.django_db

# What a refusal may write: its own receipt, its answer under an idempotency key, and what the console says next.
MAY_CHANGE = {"telemetry_receipt", "telemetry_sealqueueentry", "api_idempotencyrecord", "tenancy_consolesession"}

# Errors of the whole batch are reported for its first step.
OF_ANY_STEP = {"unknown_reason_code", "reason_code_required", "voter_not_eligible", "comment_too_long"}


@dataclass
class Scene:
    """A payment that waits for two of finance, another one like it, and who is about to get the first one wrong."""

    office: Office
    stranger: User
    abroad: Tenant
    item: WorkItem
    step: DecisionStep
    good: DecisionStep
    sent: dict[str, str] = field(default_factory=dict)
    by: str = "fay"

    @property
    def person(self) -> User:
        return self.stranger if self.by == "stranger" else self.office.people[self.by]

    @property
    def tenant(self) -> Tenant:
        return self.abroad if self.by == "stranger" else self.office.tenant


@pytest.fixture
def scene(office: Office, other_tenant: Tenant) -> Scene:
    office.join("max", roles=("tenant_admin", "finance"))
    stranger = make_principal(other_tenant, "stranger", roles=("tenant_admin", "approver"))
    item, step, _ = office.awaiting(by="max")
    _, good, _ = office.awaiting(501)
    sent = {"decision": "approve", "envelope_sha256": step.envelope_sha256}
    return Scene(office, stranger, other_tenant, item, step, good, sent)


def sends(by: str = "fay", **sent: str) -> Callable[[Scene], None]:
    def arrange(scene: Scene) -> None:
        scene.by = by
        scene.sent |= sent

    return arrange


def is_rejected_already(scene: Scene) -> None:
    scene.office.vote(scene.step, "finn", "reject")


def has_voted(scene: Scene) -> None:
    scene.office.vote(scene.step, "fay")


CASES: dict[str, tuple[Callable[[Scene], None], str]] = {
    "unknown reason code": (sends(decision="reject", reason_code="MOOD"), "unknown_reason_code"),
    "closed step": (is_rejected_already, "step_closed"),
    "excluded": (sends("max"), "voter_excluded"),
    "without the right role": (sends("vera"), "voter_not_eligible"),
    "twice": (has_voted, "already_voted"),
    "another tenant's step": (sends("stranger"), "not_found"),
    "stale hash": (sends(envelope_sha256="0" * 64), "envelope_changed"),
    "oversized comment": (sends(comment="x" * 4001), "comment_too_long"),
}
MORE: dict[str, tuple[Callable[[Scene], None], str]] = {
    "unknown reason code for an approval": (sends(reason_code="MOOD"), "unknown_reason_code"),
    "no reason for a rejection": (sends(decision="reject"), "reason_code_required"),
    "no hash": (sends(envelope_sha256="that one"), "invalid_request"),
    "without the scope": (sends("wim"), "scope_missing"),
}


def by_api(scene: Scene) -> str:
    return posted(scene, f"/decision-steps/{scene.step.public_id}/votes", scene.sent)


def by_batch_api(scene: Scene) -> str:
    sent = dict(scene.sent)
    steps = [
        {"decision_step_id": scene.good.public_id, "envelope_sha256": scene.good.envelope_sha256},
        {"decision_step_id": scene.step.public_id, "envelope_sha256": sent.pop("envelope_sha256")},
    ]
    return posted(scene, "/decision-steps/batch-votes", {**sent, "steps": steps})


def posted(scene: Scene, path: str, body: dict[str, Any]) -> str:
    api = Api(make_token(scene.tenant, scene.person))
    assert api.get("/me").status_code == 200  # which notes that the token was used
    before = contents()
    answer = api.post(path, body)
    assert contents() == before
    problem = answer.json()
    assert answer["Content-Type"] == "application/problem+json"
    assert (answer.status_code, problem["status"]) == (REASONS[problem["reason_code"]].status,) * 2
    return str(problem["reason_code"])


def by_button(scene: Scene) -> str:
    sent = dict(scene.sent)
    url = reverse(f"admin:workitems_decisionstep_{sent.pop('decision')}", args=[scene.step.public_id])
    return pressed(scene, url, sent)


def by_batch_button(scene: Scene) -> str:
    sent = dict(scene.sent)
    steps = [
        f"{scene.good.public_id}:{scene.good.envelope_sha256}",
        f"{scene.step.public_id}:{sent.pop('envelope_sha256')}",
    ]
    return pressed(scene, reverse("admin:workitems_decisionstep_batch_vote"), {**sent, "step": steps})


def pressed(scene: Scene, url: str, sent: dict[str, Any]) -> str:
    browser = sign_in(scene.person)
    before = contents()
    answer = browser.post(url, sent)
    assert contents() == before
    if answer.status_code == 404:
        return "not_found"
    assert answer.status_code == 302
    said = [str(message) for message in get_messages(answer.wsgi_request)]
    code = said[0].rpartition("(")[2].rstrip(")")
    assert code in REASONS
    return code


def contents() -> dict[str, str]:
    """Return a digest of all rows of every table, of all tenants."""
    present = set(connection.introspection.table_names()) - MAY_CHANGE
    tables = sorted({model._meta.db_table for model in apps.get_models(include_auto_created=True)} & present)
    assert len(tables) >= 85
    digests = ", ".join(
        f"""(SELECT md5(coalesce(string_agg(t::text, '|' ORDER BY t::text), '')) FROM "{table}" t)"""
        for table in tables
    )
    with platform_role(), connection.cursor() as cursor:
        cursor.execute(f"SELECT {digests}")
        return dict(zip(tables, cursor.fetchone(), strict=True))


def refusals(tenant: Tenant) -> list[dict[str, Any]]:
    with unit_of_work(tenant.id):
        return [orjson.loads(bytes(row.body)) for row in Receipt.objects.filter(kind="request.refused").order_by("id")]


@pytest.mark.parametrize("door", [by_api, by_button, by_batch_api, by_batch_button])
def test_bad_votes_are_refused_and_change_nothing(
    door: Callable[[Scene], str], scene: Scene, subtests: pytest.Subtests
) -> None:
    for case, (arrange, expected) in (CASES | MORE).items():
        with subtests.test(case), undone():
            mine = replace(scene, sent=dict(scene.sent))
            arrange(mine)
            is_batch = door in (by_batch_api, by_batch_button)
            code = "invalid_request" if is_batch and expected == "not_found" else expected  # named in the body there
            assert door(mine) == code
            (receipt,) = refusals(mine.tenant)
            assert receipt["outcome"]["reason_code"] == code
            assert receipt["actor"]["principal"] == mine.person.public_id
            assert receipt["actor"]["entry_point"] == ("api" if door in (by_api, by_batch_api) else "console")
            if is_batch and code in OF_ANY_STEP:
                assert receipt["subject"]["work_item_id"] == ids.public_id(ids.WORK_ITEM, mine.good.work_item_id)
            elif code not in ("not_found", "scope_missing", "invalid_request"):
                assert receipt["subject"]["work_item_id"] == mine.item.public_id
            if mine.tenant != mine.office.tenant:
                assert refusals(mine.office.tenant) == []


def test_each_has_a_problem_of_its_own() -> None:
    assert len(CASES) == 8
    assert len({code for _, code in CASES.values()}) == 8


def test_a_good_vote_changes_what_it_should(scene: Scene) -> None:
    """So that nothing changed above because nothing is compared."""
    before = contents()
    scene.office.vote(scene.step, "fay")
    changed = {table for table, digest in contents().items() if digest != before[table]}
    assert "workitems_vote" in changed
