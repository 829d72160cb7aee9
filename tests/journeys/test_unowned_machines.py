"""Service with every scope and without a known owner, at every door of the API that writes."""

from __future__ import annotations

from typing import Any, Final

import orjson
import pytest

from integrations.freezes.scope import FreezeScope
from telemetry.models import Receipt
from tests.client import Api
from tests.factories import acting, make_principal, make_token
from tests.threada_site.identity.test_accounts import one_steward_is_enough
from tests.threada_site.identity.test_known_control import UNOWNED
from tests.workitems.office import Office, open_office
from threada_site.api.documentation.pages import openapi_schema
from threada_site.database.unit_of_work import unit_of_work
from threada_site.identity.change_sets.propose import propose
from threada_site.identity.credentials import issue_credential
from threada_site.identity.four_eyes import turn_on_four_eyes
from threada_site.identity.grants.role_grants import grant_role, set_roles
from threada_site.identity.owners import set_owner
from threada_site.kernel import errors
from threada_site.tenancy.authority_models import ChangeSet
from threada_site.tenancy.models import Tenant, User
from workitems.executions.freezes import lift_freeze, set_freeze

MAY: Final = {
    "addComment", "answerQuestion", "cancelExecution", "cancelWorkItem", "changeDecisionStep", "claimDecisionStep",
    "createWorkItem", "createWorkItems", "castVote", "castBatchVotes", "editComment", "editWorkItem", "escalateDecisionStep",
    "exchangeToken", "executeAction", "receiveCallback", "reconcileExecution", "releaseDecisionStep", "removeComment",
    "replayExecutions", "resolveWorkItem", "retryExecution", "undoExecution", "uploadAttachment", "watchWorkItem",
    "unwatchWorkItem",
}  # fmt: skip
"""Operations that ask, read, advise and execute."""
HARMLESS: Final = {
    "planConfiguration", "createPolicy", "withdrawPolicy", "draftPolicyVersion", "discardPolicyDraft", "editPolicyDraft",
    "replacePolicyDraft", "replayPolicyVersion", "shadowPolicyVersion", "simulatePolicyVersion", "validatePolicyVersion",
    "cancelPolicyReplay", "resumePolicyReplay", "endPolicyShadow", "setFreeze", "createExport", "cancelExport", "retryExport",
}  # fmt: skip
"""Drafts and analyses, which change nothing that is in force, and what stops others."""
OF_PEOPLE: Final = {
    "approvePermit", "askQuestion", "attestAccessReviewEntry", "changeNotificationPreferences", "consentToDelegation",
    "confirmDelegation", "createDelegation", "endDelegation", "narrowPermit", "publishChangeSet", "reassignDecisionStep",
    "rejectChangeSet", "revokePermit", "withdrawQuestion",
}  # fmt: skip
"""Operations that need a person, with or without an owner."""
BY_ITS_SERVICE: Final = {"applyConfiguration"}
"""Refused only if there is something to change; see below."""


@pytest.fixture
def office(tenant: Tenant) -> Office:
    return open_office(tenant)


def unowned(office: Office, way: str = "by_the_operator") -> User:
    """Return a service with all scopes whose owner is unknown."""
    one_steward_is_enough(office.tenant)
    bot = UNOWNED[way](office.tenant, office.people["ada"])
    with unit_of_work(office.tenant.id):
        grant_role(bot, "tenant_admin", ctx=office.system)
    office.people["bot"] = bot
    return bot


def writes() -> list[tuple[str, str, str]]:
    """Return operation id, method and path of every write operation."""
    found = []
    for path, operations in openapi_schema()["paths"].items():
        for method, operation in operations.items():
            if method in ("post", "put", "patch", "delete"):
                found.append((operation["operationId"], method.upper(), path))
    return sorted(found)


def in_force(office: Office) -> list[str]:
    """Return the kinds of the receipts that are no refusals."""
    with unit_of_work(office.tenant.id):
        rows = Receipt.objects.filter(tenant_id=office.tenant.id).order_by("id")
        return [kind for kind in rows.values_list("kind", flat=True) if not kind.endswith("refused")]


def test_no_door_is_open_to_a_service_without_owner(office: Office) -> None:
    api = Api(make_token(office.tenant, unowned(office)))
    before = in_force(office)
    answers: dict[str, tuple[int, str]] = {}
    for operation, method, path in writes():
        if operation in MAY | HARMLESS | OF_PEOPLE | BY_ITS_SERVICE:
            continue
        while "{" in path:
            start, _, rest = path.partition("{")
            path = f"{start}x{rest.partition('}')[2]}"  # noqa: PLW2901
        answer = api.send(method, path, {}, headers={"Idempotency-Key": operation})
        answers[operation] = (answer.status_code, answer.json().get("reason_code", ""))
    open_doors = {name: answer for name, answer in answers.items() if answer != (403, "owner_required")}
    assert open_doors == {}
    assert len(answers) > 50
    assert in_force(office) == before


@pytest.mark.parametrize("way", UNOWNED)
def test_what_it_may_not_change_at_once_it_does_not_propose_either(office: Office, way: str) -> None:
    bot = unowned(office, way)
    api = Api(make_token(office.tenant, bot))
    files = [{"path": "sanctions.yaml", "text": "kind: List\nid: sanctions\nspec: {items: [x]}\n"}]
    for four_eyes in (False, True):
        if four_eyes:
            with unit_of_work(office.tenant.id):
                turn_on_four_eyes("policy_four_eyes", ctx=office.ctx("ada"))
        plan = api.post("/configuration/plan", {"files": files})
        assert plan.status_code == 200, plan.json()
        before = in_force(office)
        answer = api.post("/configuration/apply", {"files": files, "digest": plan.json()["digest"]})
        assert (answer.status_code, answer.json()["reason_code"]) == (403, "owner_required"), answer.json()
        answer = api.post("/lists", {"list_id": "sanctions", "spec": {"items": ["x"]}})
        assert (answer.status_code, answer.json()["reason_code"]) == (403, "owner_required")
        assert in_force(office) == before
    with unit_of_work(office.tenant.id):
        assert not ChangeSet.objects.filter(proposed_by=bot.id).exists()


def test_services_refuse_what_no_request_has_checked(office: Office) -> None:
    """Jobs, commands on behalf and other entry points call the services without the check of the API."""
    bot = unowned(office)
    ctx = office.ctx("bot")
    with unit_of_work(office.tenant.id):
        freeze = set_freeze(FreezeScope(workflow="payments"), reason="stop", ctx=ctx).freeze
        before_roles = set(bot.groups.values_list("id", flat=True))
    before = in_force(office)
    doors: dict[str, Any] = {
        "lift": lambda: lift_freeze(freeze.id, ctx=ctx),
        "four eyes": lambda: turn_on_four_eyes("policy_four_eyes", ctx=ctx),
        "token": lambda: issue_credential(principal=bot, scopes=["workitems:read"], ctx=ctx),
        "owner": lambda: set_owner(bot, "wim", ctx=ctx),
        "roles": lambda: set_roles(office.people["wim"], ["tenant_admin"], ctx=ctx),
    }
    for name, door in doors.items():
        with (
            unit_of_work(office.tenant.id),
            pytest.raises((errors.OwnerRequired, errors.ConfirmationRequired)) as refused,
        ):
            door()
        if isinstance(refused.value, errors.ConfirmationRequired):
            with unit_of_work(office.tenant.id), pytest.raises(errors.OwnerRequired):
                propose(refused.value.change, ctx=ctx)
        assert in_force(office) == before, name
    assert set(bot.groups.values_list("id", flat=True)) == before_roles


def test_it_asks_reads_and_executes(office: Office) -> None:
    api = Api(make_token(office.tenant, unowned(office)))
    made = api.post("/work-items", {"workflow_id": "payments", "channel_id": "web", "payload": {"amount": 5}})
    assert made.status_code == 201, made.json()
    path = f"/work-items/{made.json()['work_item_id']}"
    assert api.get(path).status_code == 200
    assert api.post(f"{path}/comments", {"text": "please"}).status_code == 201
    assert api.get("/policies").status_code == 200


def test_a_publisher_of_his_own_service_is_no_second_person(office: Office) -> None:
    """The token of an ownerless service proposed, and its holder published with his own account."""
    with unit_of_work(office.tenant.id):
        turn_on_four_eyes("policy_four_eyes", ctx=office.ctx("ada"))
    bot = make_principal(office.tenant, "bot", "service", roles=["tenant_admin"])
    api, ada = Api(make_token(office.tenant, bot)), Api(make_token(office.tenant, office.people["ada"]))
    proposed = api.post("/lists", {"list_id": "sanctions", "spec": {"items": ["x"]}})
    assert proposed.status_code == 202
    change_set, digest = proposed.json()["change_set_id"], proposed.json()["digest"]
    with unit_of_work(office.tenant.id):
        set_owner(bot, "", ctx=office.system)
    answer = ada.post(f"/change-sets/{change_set}/publish", {"digest": digest})
    assert (answer.status_code, answer.json()["reason_code"]) == (403, "second_person_required")
    with unit_of_work(office.tenant.id):
        set_owner(bot, "wim", ctx=acting(office.tenant, office.people["ada"]))
    answer = ada.post(f"/change-sets/{change_set}/publish", {"digest": digest})
    assert (answer.status_code, answer.json()["reason_code"]) == (403, "second_person_required")
    with unit_of_work(office.tenant.id):
        set_owner(bot, "vera", ctx=office.system)
        kinds = [orjson.loads(bytes(row.body))["kind"] for row in Receipt.objects.order_by("-id")[:1]]
    assert kinds == ["principal.owner_set"]
