"""Configuration as files, there and back: what is written applies to nothing new, and what no file says can be taken
out where nobody needs it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
import pytest
from django.core.management import call_command
from pytest_django import Settings

from integrations.models import IntegrationVersion
from policies.models import Channel, ListVersion, Policy, PolicyVersion, WorkflowVersion
from telemetry.models import Receipt
from tests.factories import acting, make_principal
from threada_site.database.unit_of_work import unit_of_work
from threada_site.kernel.documents.reader import load_documents
from threada_site.tenancy.models import Tenant
from workitems.configuration.export import configuration_files
from workitems.configuration.kinds import KINDS
from workitems.items.intake import IntakeRequest, create_work_item
from workitems.models import RetentionRuleVersion

EVERYTHING = """\
kind: Role
id: finance
spec: {scopes: ["workitems:read", "decisions:decide"]}
---
kind: Role
id: viewer
spec: {scopes: ["workitems:read", "telemetry:read"]}
---
kind: Group
id: emea
name: Europe, "Middle East" & Africa
spec: {members: [bob, ann]}
---
kind: Channel
id: web_main
spec: {name: "Web: main"}
---
kind: Channel
id: desk
---
kind: Calendar
id: office
spec:
  time_zone: Europe/Paris
  hours: {monday: ["09:00-12:00", "13:00-24:00"]}
  extra_days: {"2026-12-24": Christmas Eve}
---
kind: List
id: odd
spec:
  items: ["yes", "1e5", "0o17", "1_000", "12:30:45", 2026-01-01, "", " lead", "trail ", "#no", "a: b", "- c", "\\U0001F600",
          "line\\nbreak", "  two\\n lines \\n", "tab\\t", "\\u2028\\u0085", "null", "~", "Null", 5, -0.5, 1.5e-300, 0.1]
---
kind: IdentityProvider
id: corp
spec:
  protocol: oidc
  name: Corp
  issuer: https://id.example.com
  client_id: threada
  client_secret: {env: CORP_OIDC_SECRET}
  roles: {finance-team: [finance]}
---
kind: TrustedIssuer
id: pipeline
spec:
  issuer: https://ci.example.com
  mappings: [{when: claims.ref == "main", principal: deployer, scopes: ["workitems:write"]}]
---
kind: Workflow
id: payment_run
spec:
  name: Payment run
  description: |
    What is paid.

      Twice a week.
  payload_schema:
    type: object
    required: [vendor]
    properties: {vendor: {type: string, pattern: "^[A-Z]+$"}, amount_minor: {type: integer}}
  actions: [pay]
---
kind: Integration
id: int_bank
name: The bank
spec:
  connector: http
  base_url: https://bank.example
  auth: {scheme: bearer, secret: {env: BANK_TOKEN}}
  actions:
    pay: {method: POST, path: /payments, body: {vendor: "${item.payload.vendor}"}}
---
kind: Grant
id: ann
spec:
  workflows: {payment_run: ["workitems:read", "decisions:decide"]}
  integrations: {int_bank: ["actions:execute"]}
---
kind: Policy
id: a-narrow
spec:
  rules:
    - {id: vip, when: "'emea' in item.requester_groups", effect: allow, reason: VIP, overrides: [payments/large]}
---
kind: Policy
id: payments
spec:
  rules:
    - id: large
      when: |
        ctx.action == 'pay'
          && item.payload.amount_minor > 1000
      effect: require_approval
      reason: LARGE
      overridable: true
      approvals: {all: [{role: finance, count: 2}, {group: emea}], exclude: [requester], expires_after: P3D}
    - {id: odd, when: "item.payload.vendor in lists.odd", effect: deny, reason: ODD}
    - {id: rest, when: "true", effect: allow, reason: REST}
  tests:
    - {given: {item: {payload: {vendor: Hooli, amount_minor: 5}}}, expect: {effect: allow}}
---
kind: Overlay
policy: payments
scope: {tenant: true}
---
kind: Overlay
policy: a-narrow
scope: {group: emea}
starts_at: "2026-12-24T00:00:00+01:00"
---
kind: Overlay
policy: payments
scope: {workflow: payment_run}
ends_at: "2126-12-24T00:00:00Z"
---
kind: Retention
id: short
spec: {workflow: payment_run, keep_payload: P90D, keep_receipts: P10Y, then: archive}
"""
COUNT = EVERYTHING.count("\n---\n") + 1


@dataclass
class Ran:
    code: int
    out: str
    err: str


@pytest.fixture
def run(tenant: Tenant, capsys: pytest.CaptureFixture[str]) -> Any:
    """`run(command, *arguments)` for the tenant, in which ann and bob are."""
    for name in ("ann", "bob"):
        make_principal(tenant, name)

    def call(command: str, *arguments: Any) -> Ran:
        code = 0
        try:
            call_command(command, *map(str, arguments), "--tenant", tenant.slug)
        except SystemExit as ended:
            code = int(ended.code or 0)
        printed = capsys.readouterr()
        return Ran(code, printed.out, printed.err)

    return call


@pytest.fixture
def everything(run: Any, tmp_path: Path, settings: Settings) -> Path:
    """Apply a file with a document of every kind. Return its path."""
    settings.THREADA_PUBLIC_URL = "https://threada.example"
    file = tmp_path / "everything.yaml"
    file.write_text(EVERYTHING)
    done = run("apply", file)
    assert (done.code, done.err.count("\n")) == (0, 1)  # nobody holds the role finance
    assert done.out.splitlines()[-1] == f"{COUNT} documents, {COUNT} changed."
    return file


def receipts(tenant: Tenant, kind: str = "") -> list[dict[str, Any]]:
    with unit_of_work(tenant.id):
        rows = Receipt.objects.order_by("id")
        return [orjson.loads(bytes(row.body)) for row in (rows.filter(kind=kind) if kind else rows)]


def test_applying_what_was_exported_changes_nothing(run: Any, everything: Path, tenant: Tenant, tmp_path: Path) -> None:
    folder = tmp_path / "exported"
    said = run("export_config", folder)
    assert (said.code, said.out.splitlines()[-1]) == (
        0,
        f"{COUNT} documents: {COUNT} written, 0 unchanged, 0 other files removed.",
    )
    before = receipts(tenant)
    applied = run("apply", folder, "--prune")
    assert applied.code == 0
    assert applied.out.splitlines()[-1] == f"{COUNT} documents, 0 changed."
    assert {line[0] for line in applied.out.splitlines()[:-1]} == {" "}
    assert receipts(tenant) == before
    again = run("export_config", folder)
    assert again.out == f"{COUNT} documents: 0 written, {COUNT} unchanged, 0 other files removed.\n"


def test_every_kind_is_exported(everything: Path, tenant: Tenant) -> None:
    ctx = acting(tenant, make_principal(tenant, "ada", roles=["tenant_admin"]))
    with unit_of_work(tenant.id):
        files = configuration_files(ctx)
    documents = [load_documents(text, source=str(path))[0].value for path, text in files.items()]
    assert {document["kind"] for document in documents} == set(KINDS) - {"Pack"}, "packs: test_packs.py"
    assert sorted(str(path) for path in files)[-5:] == [
        "retention/short.yaml",
        "roles/finance.yaml",
        "roles/viewer.yaml",
        "trustedissuers/pipeline.yaml",
        "workflows/payment_run.yaml",
    ]
    assert Path("overlays/payments.on.workflow.payment_run.yaml") in files


def test_an_export_moves_to_another_tenant(
    run: Any, everything: Path, other_tenant: Tenant, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "exported"
    run("export_config", folder)
    for name in ("ann", "bob"):
        make_principal(other_tenant, name)
    call_command("apply", str(folder), "--tenant", other_tenant.slug)
    assert capsys.readouterr().out.splitlines()[-1] == f"{COUNT} documents, {COUNT} changed."
    copy = tmp_path / "copy"
    call_command("export_config", str(copy), "--tenant", other_tenant.slug)
    for file in folder.rglob("*.yaml"):
        assert (copy / file.relative_to(folder)).read_bytes() == file.read_bytes()


def test_an_export_holds_references_to_secrets_alone(
    run: Any, everything: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BANK_TOKEN", "hunter2-bank-token")
    run("export_config", tmp_path / "out")
    text = "".join(file.read_text() for file in (tmp_path / "out").rglob("*.yaml"))
    assert "BANK_TOKEN" in text
    assert "hunter2" not in text


def test_an_export_does_not_mix_with_other_documents(run: Any, everything: Path, tmp_path: Path) -> None:
    folder = tmp_path / "mixed"
    (folder / "old").mkdir(parents=True)
    (folder / "old" / "gone.yml").write_text("kind: Channel\nid: gone\n")
    (folder / "README.md").write_text("notes")
    (folder / ".git").mkdir()
    (folder / ".git" / "config.yaml").write_text("kept: true")
    refused = run("export_config", folder)
    assert refused.code == 1
    assert "old/gone.yml" in refused.err
    assert not (folder / "policies").exists()
    pruned = run("export_config", folder, "--prune")
    assert "- old/gone.yml" in pruned.out
    assert not (folder / "old" / "gone.yml").exists()
    assert (folder / ".git" / "config.yaml").exists()
    assert (folder / "README.md").read_text() == "notes"


def test_what_no_document_says_is_left_until_prune_takes_it_out(
    run: Any, everything: Path, tenant: Tenant, tmp_path: Path
) -> None:
    less = tmp_path / "less.yaml"
    kept = [part for part in EVERYTHING.split("---\n") if "id: short" not in part and "id: desk" not in part]
    less.write_text("---\n".join(kept))
    before = receipts(tenant)
    planned = run("apply", less, "--plan")
    assert "? Channel desk (in no document; --prune removes it)" in planned.out
    assert "? Retention short (in no document; --prune removes it)" in planned.out
    pruning = run("apply", less, "--plan", "--prune")
    assert "- Channel desk (would be removed)" in pruning.out
    assert pruning.out.splitlines()[-1] == f"{COUNT - 2} documents, 2 would be changed."
    assert receipts(tenant) == before
    done = run("apply", less, "--prune", "--revision", "4f9c1f4")
    assert "- Retention short (removed)" in done.out
    assert [entry["kind"] for entry in receipts(tenant)[len(before) :]] == [
        "retention_rule.withdrawn",
        "channel.removed",
        "configuration.applied",
    ]
    told = receipts(tenant, "configuration.applied")[-1]
    assert told["inputs"] == {"revision": "4f9c1f4", "documents": COUNT - 2}
    assert told["outcome"] == {
        "created": {"count": 0, "names": []},
        "changed": {"count": 0, "names": []},
        "removed": {"count": 2, "names": ["Retention short", "Channel desk"]},
    }
    assert run("apply", everything).out.splitlines()[-1] == f"{COUNT} documents, 2 changed."


def test_everything_can_be_pruned_and_comes_back_with_the_next_version(
    run: Any, everything: Path, tenant: Tenant, tmp_path: Path
) -> None:
    alone = tmp_path / "alone.yaml"
    alone.write_text("kind: Channel\nid: web_main\nspec: {name: 'Web: main'}\n")
    done = run("apply", alone, "--prune")
    assert (done.code, done.err) == (0, "")
    assert done.out.splitlines()[-1] == f"1 documents, {COUNT - 1} changed."
    ctx = acting(tenant, make_principal(tenant, "ada", roles=["tenant_admin"]))
    with unit_of_work(tenant.id):
        assert [str(path) for path in configuration_files(ctx)] == ["channels/web_main.yaml"]
        assert sorted(PolicyVersion.objects.values_list("status", flat=True)) == ["retired", "retired"]
    back = run("apply", everything)
    assert back.out.count("(created)") == COUNT - 2, back.out
    with unit_of_work(tenant.id):
        for model in (WorkflowVersion, ListVersion, IntegrationVersion, RetentionRuleVersion):
            assert sorted(model.objects.values_list("number", flat=True)) == [1, 2]  # type: ignore[attr-defined]
        in_force = Policy.objects.select_related("in_force").values_list("in_force__number", flat=True)
        assert list(in_force) == [2, 2]


@pytest.mark.parametrize(
    ("gone", "said"),
    [
        ("id: emea", "Group emea: The group emea is in use: the policy payments requires its approval (rule large)"),
        ("id: finance", "Role finance: The role finance is in use: the policy payments requires its approval"),
        ("kind: List", "List odd: The list odd is in use: the policy payments reads it"),
        ("kind: Workflow", "Workflow payment_run: The workflow payment_run is in use: the policy payments is bound"),
        ("id: payments\n", "Policy payments: The policy payments is in use: the policy payments is bound to tenant"),
    ],
)
def test_what_is_in_use_is_not_pruned_and_nothing_is_done(
    run: Any, everything: Path, tenant: Tenant, tmp_path: Path, gone: str, said: str
) -> None:
    less = tmp_path / "less.yaml"
    parts = [part for part in EVERYTHING.split("---\n") if gone not in part]
    less.write_text("---\n".join([*parts, "kind: Channel\nid: third\n"]))
    before = receipts(tenant)
    refused = run("apply", less, "--prune")
    assert refused.code == 1
    assert said in refused.err, refused.err
    assert receipts(tenant) == before
    with unit_of_work(tenant.id):
        assert not Channel.objects.filter(slug="third").exists()


def test_a_workflow_with_open_work_items_is_not_pruned(
    run: Any, everything: Path, tenant: Tenant, tmp_path: Path
) -> None:
    ctx = acting(tenant, make_principal(tenant, "ada", roles=["tenant_admin"]))
    with unit_of_work(tenant.id):
        payload = {"vendor": "HOOLI", "amount_minor": 5}
        item = create_work_item(IntakeRequest(workflow="payment_run", channel="web_main", payload=payload), ctx=ctx)
    alone = tmp_path / "alone.yaml"
    alone.write_text("kind: Channel\nid: desk\n")
    refused = run("apply", alone, "--prune")
    assert refused.code == 1
    assert "Workflow payment_run: There are open work items on the workflow payment_run." in refused.err
    assert "Channel web_main: There are open work items on the channel web_main." in refused.err
    assert item.public_id


def test_versions_keep_the_revision_they_were_applied_from(
    run: Any, everything: Path, tenant: Tenant, tmp_path: Path
) -> None:
    changed = tmp_path / "changed.yaml"
    changed.write_text(
        EVERYTHING.replace("amount_minor > 1000", "amount_minor > 2000")
        .replace('"yes", ', "")
        .replace("Twice", "Once")
        .replace("/payments,", "/payment,")
        .replace("P90D", "P91D")
    )
    done = run("apply", changed, "--revision", "v2-17-g4f9c1f4")
    assert done.out.splitlines()[-1] == f"{COUNT} documents, 5 changed."
    with unit_of_work(tenant.id):
        for model in (PolicyVersion, WorkflowVersion, ListVersion, IntegrationVersion, RetentionRuleVersion):
            found = list(model.objects.order_by("id").values_list("revision", flat=True))  # type: ignore[attr-defined]
            assert max(found) == "v2-17-g4f9c1f4"
            assert found.count("v2-17-g4f9c1f4") == 1, model
    too_long = run("apply", changed, "--revision", "x" * 101)
    assert too_long.code == 1


def test_a_role_that_every_tenant_has_gets_its_own_scopes_back(run: Any, everything: Path, tmp_path: Path) -> None:
    without = tmp_path / "without.yaml"
    without.write_text(
        EVERYTHING.replace('kind: Role\nid: viewer\nspec: {scopes: ["workitems:read", "telemetry:read"]}\n---\n', "")
    )
    done = run("apply", without, "--prune")
    assert "- Role viewer (removed)" in done.out
    assert run("apply", without, "--prune").out.splitlines()[-1] == f"{COUNT - 1} documents, 0 changed."
