"""Every API resource represents objects as its own schema says."""

from __future__ import annotations

import sys
from collections.abc import Callable
from datetime import timedelta
from functools import cache
from types import SimpleNamespace
from typing import Any

import jsonschema_rs
import orjson
import pytest

from telemetry.api.resources.log import CHECKPOINT, INSTANCE_PROOF
from tests.client import Api
from tests.contract.document import operations
from tests.contract.world import World, made
from tests.factories import acting_system, make_principal, make_token
from tests.jobs import run_jobs
from threada_site.api.resources.resource import Representation, Resource
from threada_site.database.unit_of_work import unit_of_work
from threada_site.identity.api.token_endpoint import TOKEN
from threada_site.identity.grants.object_grants import grant_scope_on, object_named
from threada_site.identity.selectors import principal_of_tenant
from threada_site.identity.trusted_issuers.exchange import ExchangedToken
from threada_site.kernel import clock, ids
from threada_site.kernel.context import Scope

pytestmark = pytest.mark.django_db

_PACKAGES = ("threada_site.", "telemetry.", "integrations.", "policies.", "workitems.")


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """Names of the resources that encoded an object; each result is validated against its schema."""
    names: set[str] = set()

    def checked(represent: Callable[..., dict[str, Any]]) -> Callable[..., dict[str, Any]]:
        def represent_and_check(resource: Resource, entity: Any, **context: Any) -> dict[str, Any]:
            body = represent(resource, entity, **context)
            check(resource, body)
            names.update(_names_in(resource))
            return body

        return represent_and_check

    monkeypatch.setattr(Resource, "represent", checked(Resource.represent))
    monkeypatch.setattr(Resource, "represent_whole", checked(Resource.represent_whole))
    return names


def check(resource: Resource, body: dict[str, Any]) -> None:
    """Assert that `body` fits the schema, with its fields in the order of the declaration and no others."""
    _validator(resource).validate(orjson.loads(orjson.dumps(body)))  # texts that are translated later are a class
    declared = [entry.name for entry in resource.fields if entry.name in body]
    assert list(body)[: len(declared)] == declared
    assert resource.name == "Problem" or len(body) == len(declared)


@cache
def _validator(resource: Resource) -> jsonschema_rs.Draft202012Validator:
    return jsonschema_rs.Draft202012Validator(_resolved(resource), validate_formats=True, offline=True)


def _resolved(node: Any) -> Any:
    """`node` with the schemas of nested resources in place."""
    if isinstance(node, Representation):
        return _resolved(node.schema)
    if isinstance(node, dict):
        return {key: _resolved(value) for key, value in node.items()}
    return [_resolved(value) for value in node] if isinstance(node, list) else node


def _names_in(node: Any) -> set[str]:
    """Names of a resource and of those nested in it."""
    if isinstance(node, Representation):
        return {node.name} | _names_in(node.schema)
    parts = node.values() if isinstance(node, dict) else node if isinstance(node, list) else ()
    return {name for part in parts for name in _names_in(part)}


def declared_resources() -> dict[str, Resource]:
    """All resources of the product, by name."""
    operations()  # imports every view
    modules = [module for name, module in sys.modules.items() if name.startswith(_PACKAGES)]
    found = (value for module in modules for value in vars(module).values() if isinstance(value, Resource))
    return {resource.name: resource for resource in found}


def test_every_resource_fits_its_schema(world: World, seen: set[str]) -> None:
    read_everything(world)
    write_everything(world)
    represent_sealed()
    represent_exchanged()
    # A replay's report is streamed, nothing is delivered and no MCP server is read here: their own tests read them.
    assert declared_resources().keys() - seen == {"DeliveryAttempt", "PolicyReplayReport", "ToolList"}


def read_everything(world: World) -> None:
    """Call every operation that reads."""
    for operation in operations():
        if operation.method == "GET" and operation.path not in ("/readyz", "/schemas/{kind}.json"):
            query = {"workflow_id": world.home.ids["workflow_id"]} if operation.path == "/policies/effective" else None
            world.home.admin.get(operation.at(world.home.ids), query)
    assert made(world.home.admin.get("/readyz")) == {"status": "ready"}


def grant_on_workflow(world: World) -> None:
    """Give the deputy a scope on one workflow, as the operator."""
    ctx, names = acting_system(world.home.tenant), world.home.ids
    with unit_of_work(ctx.tenant_id):
        deputy = principal_of_tenant(ctx.tenant_id, names["principal"])
        assert deputy is not None
        workflow = object_named("workflow", names["workflow_id"], ctx=ctx)
        grant_scope_on(deputy, Scope.DECISIONS_DECIDE, workflow, ctx=ctx)


def write_everything(world: World) -> None:
    """Call the operations whose answers no reading operation gives."""
    admin, names = world.home.admin, world.home.ids
    grant_on_workflow(world)
    made(admin.get("/grants"))
    asked = {"principal": "home-service", "scopes": ["workitems:read"], "expires_in_days": 1}
    made(admin.post("/credentials", asked))
    made(admin.post("/retention-runs", {}))
    files = {"files": [{"path": "lists.yaml", "text": "kind: List\nid: vendors\nspec: {items: [x]}\n"}]}
    plan = made(admin.post("/configuration/plan", files))
    made(admin.post("/configuration/apply", {**files, "digest": plan["digest"]}))
    item = {"workflow_id": names["workflow_id"], "channel_id": names["channel_id"], "payload": {"of": "home"}}
    made(admin.post("/work-items/batch", {"work_items": [item, {}]}))
    fay = Api(
        make_token(world.home.tenant, make_principal(world.home.tenant, "fay", roles=("approver", "tenant_admin")))
    )
    make_principal(world.home.tenant, "gil", roles=("approver",))  # can decide about what fay has changed
    first, second, third = (_awaiting_approval(world) for _ in range(3))
    ballot = {"decision": "approve", "envelope_sha256": first["envelope_sha256"]}
    made(fay.post(f"/decision-steps/{first['decision_step_id']}/votes", ballot))
    chosen = {key: second[key] for key in ("decision_step_id", "envelope_sha256")}
    made(fay.post("/decision-steps/batch-votes", {"decision": "reject", "reason_code": "OTHER", "steps": [chosen]}))
    changed = {"envelope_sha256": third["envelope_sha256"], "payload": {"of": "another"}}
    made(fay.post(f"/decision-steps/{third['decision_step_id']}/changes", changed))
    made(admin.post(f"/work-items/{names['work_item_id']}/comments", {"text": "Fine."}))
    made(admin.post("/executions/replays", {}))
    made(admin.post(f"/integrations/{names['integration_id']}/test", {}))
    rule = {"id": "never", "when": "false", "effect": "deny", "reason": "NEVER"}
    policy = f"/policies/{names['policy_id']}/versions"
    draft = made(admin.post(policy, {"document": {"rules": [rule]}}))["policy_version_id"]
    made(admin.post(f"{policy}/{draft}/validate", {}))
    made(admin.post(f"{policy}/{draft}/simulate", {"facts": {"item": {"workflow": names["workflow_id"]}}}))
    made(admin.post(f"{policy}/{draft}/publish", {}))
    pack = {"kind": "Pack", "id": "other", "spec": {"version": "1", "documents": [{"kind": "Channel", "id": "new"}]}}
    made(admin.post("/packs", {"document": pack}))
    made(fay.post(f"/identity-providers/{names['identity_provider_id']}/confirm-links", {}))
    made(admin.post("/four-eyes", {"policy_four_eyes": True}))
    made(admin.send("DELETE", f"/overlays/{names['overlay_id']}"))


def _awaiting_approval(world: World) -> dict[str, Any]:
    """Create a work item whose action awaits an approval. Return the decision step."""
    admin, names = world.home.admin, world.home.ids
    item = {"workflow_id": names["workflow_id"], "channel_id": names["channel_id"], "payload": {"of": "home"}}
    created = made(admin.post("/work-items", item))
    action = {"action_id": "request_approval", "integration_id": names["integration_id"]}
    accepted = made(admin.post("/actions/execute", {**action, "work_item_id": created["work_item_id"]}))
    run_jobs()
    step: dict[str, Any] = accepted["decision_steps"][0]
    return step


def represent_exchanged() -> None:
    """Represent a token that only a token of a trusted issuer is exchanged for."""
    now = clock.now()
    TOKEN.represent(ExchangedToken("thr_", ("workitems:read",), now, now + timedelta(minutes=5)))


def represent_sealed() -> None:
    """Represent rows that only the sealer writes."""
    log = {"origin": "log", "size": 3, "root": b"\0" * 32, "signed_at": clock.now(), "note": "log\n3\n"}
    checkpoint = SimpleNamespace(id=ids.new_uuid(), verifier_keys=["log+1+A"], **log)
    CHECKPOINT.represent(checkpoint)
    entry = SimpleNamespace(checkpoint_id=ids.new_uuid(), index=2, note="tenant\n3\n")
    INSTANCE_PROOF.represent(SimpleNamespace(entry=entry, checkpoint=checkpoint, proof="proof"), consistency=None)
