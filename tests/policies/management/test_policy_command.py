"""Output and exit status of `manage.py policy …`."""

from __future__ import annotations

import json
import re
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from policies.deciding.decide import decide
from policies.drafts.edit import draft_policy_version
from policies.management import replays
from policies.models import Policy, PolicyVersion
from policies.replay import run as replaying
from tests.policies.rulebooks import PAYMENTS, asking, put_in_force, put_payment_run, receipt_kinds, rule, spec
from threada_site.database.unit_of_work import unit_of_work
from threada_site.kernel.context import ActingContext


@pytest.fixture
def book(ctx: ActingContext) -> ActingContext:
    with unit_of_work(ctx.tenant_id):
        put_payment_run(ctx)
        put_in_force(PAYMENTS, ctx=ctx)
    return ctx


def policy(*arguments: str) -> tuple[int, str, str]:
    """Return a function that runs the command and returns exit status, standard output and standard error."""
    out, err = StringIO(), StringIO()
    try:
        call_command("policy", *arguments, stdout=out, stderr=err)
    except SystemExit as ended:
        return int(str(ended.code)), out.getvalue(), err.getvalue()
    return 0, out.getvalue(), err.getvalue()


@pytest.fixture
def written(tmp_path: Path) -> Any:
    def write(value: Any, name: str = "draft.yaml") -> str:
        path = tmp_path / name
        path.write_text(value if isinstance(value, str) else json.dumps(value))
        return str(path)

    return write


def document(of: dict[str, Any]) -> dict[str, Any]:
    return {"kind": "Policy", "id": "payments", "spec": of}


def test_validate_prints_the_checked_workflows(book: ActingContext, written: Any) -> None:
    file = written(document(PAYMENTS))
    assert policy("validate", file, "--tenant", "acme") == (
        0,
        "Valid. Conditions were checked against: payment_run.\n",
        "",
    )
    status, out, _ = policy("validate", file, "--tenant", "acme", "--json")
    found = json.loads(out)
    assert (status, found) == (0, {"valid": True, "workflows": ["payment_run"], "errors": [], "warnings": []})


def test_validate_warns_about_rules_that_never_decide(book: ActingContext, written: Any) -> None:
    never = {"id": "never", "when": "false", "effect": "deny", "reason": "NEVER"}
    file = written(document({"rules": [never, *PAYMENTS["rules"]]}))
    status, out, err = policy("validate", file, "--tenant", "acme")
    assert (status, err) == (0, "")
    (warning,) = out.splitlines()[1:]
    assert warning.startswith(f"{file}:")
    assert "warning: Rule never never decides" in warning


def test_validate_prints_file_line_and_column(book: ActingContext, written: Any) -> None:
    text = """\
kind: Policy
id: payments
spec:
  rules:
    - {id: typo, when: "item.payload.vendr == 'x'", effect: deny, reason: TYPO}
"""
    file = written(text)
    status, out, err = policy("validate", file, "--tenant", "acme")
    assert (status, out) == (1, "")
    assert err.startswith(f"{file}:5:")
    assert "Did you mean item.payload.vendor?" in err
    status, out, _ = policy("validate", file, "--tenant", "acme", "--json")
    assert (status, json.loads(out)["valid"]) == (1, False)


def test_an_invalid_document_is_refused(book: ActingContext, written: Any) -> None:
    file = written("kind: Policy\nid: payments\nspec:\n  rulez: []\n")
    status, out, err = policy("validate", file, "--tenant", "acme")
    assert (status, out) == (1, "")
    assert f"{file}:4:3: There is no field 'rulez' here. Did you mean rules?" in err
    assert policy("validate", "/nowhere.yaml", "--tenant", "acme")[0] == 1


def test_test_runs_the_tests_of_the_document(book: ActingContext, written: Any) -> None:
    expectation = {"given": {"item": {"payload": {"vendor": "Initech", "amount_minor": 1}}}}
    holds = {**expectation, "expect": {"effect": "deny", "reason": "SANCTIONED"}}
    fails = {**expectation, "expect": {"effect": "allow"}}
    assert policy("test", written(document({**PAYMENTS, "tests": [holds]})), "--tenant", "acme") == (
        0,
        "1 tests, 0 failed.\n",
        "",
    )
    status, out, err = policy("test", written(document({**PAYMENTS, "tests": [holds, fails]})), "--tenant", "acme")
    assert (status, out) == (1, "2 tests, 1 failed.\n")
    assert "expects allow; the rules say deny SANCTIONED" in err
    without_lists = policy("test", written(document({**PAYMENTS, "tests": [holds]})))
    assert (without_lists[0], without_lists[1]) == (1, "1 tests, 1 failed.\n")


def test_simulate_evaluates_a_draft_or_a_version(book: ActingContext, written: Any) -> None:
    facts = written(
        {"item": {"workflow": "payment_run", "payload": {"vendor": "Hooli", "amount_minor": 5}}}, "facts.yaml"
    )
    draft = written(document(spec(rule("no", "deny"))))
    assert policy("simulate", "payments", "--tenant", "acme", "--facts", facts) == (
        0,
        "allow: WITHIN_LIMITS\n  payments/within-limits says allow (WITHIN_LIMITS)\n",
        "",
    )
    status, out, _ = policy("simulate", "payments", "--tenant", "acme", "--facts", facts, "--draft", draft, "--json")
    assert (status, json.loads(out)["outcome"], json.loads(out)["reason_codes"]) == (0, "deny", ["NO"])
    other = written({"kind": "Policy", "id": "other", "spec": PAYMENTS}, "other.yaml")
    status, _, err = policy("simulate", "payments", "--tenant", "acme", "--facts", facts, "--draft", other)
    assert (status, err) == (1, f"{other} is of the policy other, not of payments.\n")


def test_diff_compares_with_the_version_in_force(book: ActingContext, written: Any) -> None:
    same, other = written(document(PAYMENTS)), written(document(spec(*PAYMENTS["rules"][1:])), "other.yaml")
    assert policy("diff", "payments", "--tenant", "acme", "--draft", same, "--exit-code") == (0, "", "")
    status, out, _ = policy("diff", "payments", "--tenant", "acme", "--draft", other)
    assert status == 0
    assert "-- id: sanctioned" in out
    assert policy("diff", "payments", "--tenant", "acme", "--draft", other, "--exit-code")[0] == 1


def test_publish_and_retire_call_the_services(book: ActingContext) -> None:
    with unit_of_work(book.tenant_id):
        draft = draft_policy_version("payments", spec(rule("no", "deny")), ctx=book).row
    assert policy("publish", "payments", "--tenant", "acme", "--version", "2") == (
        0,
        f"{draft.public_id} (version 2) is in force.\n",
        "",
    )
    status, _, err = policy("publish", "payments", "--tenant", "acme", "--version", "2")
    assert (status, "Version 2 is published" in err) == (1, True)
    assert policy("retire", "payments", "--tenant", "acme", "--version", draft.public_id)[0] == 0
    with unit_of_work(book.tenant_id):
        assert Policy.objects.get(slug="payments").in_force_id is None
        assert [row.status for row in PolicyVersion.objects.order_by("number")] == ["published", "retired"]
        assert receipt_kinds()[-2:] == ["policy.published", "policy.retired"]


def decided(ctx: ActingContext, *amounts: int) -> list[str]:
    """Take decisions about payments of these amounts."""
    with unit_of_work(ctx.tenant_id):
        return [
            decide(asking(payload={"vendor": "Hooli", "amount_minor": amount}, action="pay"), ctx=ctx).public_id
            for amount in amounts
        ]


STRICTER = spec(
    *PAYMENTS["rules"][:1],
    rule("large", "require_approval", "item.payload.amount_minor > 100"),
    rule("yes", "allow", "true", reason="WITHIN_LIMITS"),
)


def test_replay_prints_only_json(book: ActingContext, written: Any) -> None:
    _, middle, _ = decided(book, 5, 500, 5000)
    draft = written(document(STRICTER))
    status, out, err = policy("replay", "payments", "--tenant", "acme", "--draft", draft, "--json")
    found = json.loads(out)
    assert (status, list(found)) == (0, ["replayed", "flipped", "not_replayable", "flips"])
    assert (found["replayed"], found["flipped"], found["not_replayable"]) == (3, 1, 0)
    (flip,) = found["flips"]
    assert flip["policy_decision_id"] == middle
    assert (flip["from"], flip["from_reasons"]) == ("allow", ["WITHIN_LIMITS"])
    assert (flip["to"], flip["to_reasons"], flip["people"]) == ("require_approval", ["LARGE"], 1)
    assert (flip["workflow_id"], flip["channel_id"], flip["point"]) == ("payment_run", "web_main", "execute")
    assert "100 %: 3 replayed, 1 flipped" in err
    failing = policy("replay", "payments", "--tenant", "acme", "--draft", draft, "--json", "--fail-on-flips")
    assert (failing[0], json.loads(failing[1])["flipped"]) == (1, 1)


def test_replay_of_the_version_in_force_flips_nothing(book: ActingContext) -> None:
    decided(book, 5, 500, 5000)
    status, out, _ = policy("replay", "payments", "--tenant", "acme", "--json", "--fail-on-flips")
    assert (status, out) == (0, '{"replayed":3,"flipped":0,"not_replayable":0,"flips":[]}\n')


def test_replay_prints_a_summary(book: ActingContext, written: Any) -> None:
    _, middle, _ = decided(book, 5, 500, 5000)
    status, out, _ = policy("replay", "payments", "--tenant", "acme", "--draft", written(document(STRICTER)))
    assert (status, out.splitlines()) == (
        0,
        [
            "3 replayed, 1 flipped, 0 not replayable.",
            f"  1 from allow (WITHIN_LIMITS) to require_approval (LARGE), e.g. {middle}",
            "  People asked: 1 more, 0 fewer.",
        ],
    )
    unknown = spec(rule("odd", "deny", "item.payload.nothing == 1"), rule("yes", "allow"))
    _, out, _ = policy("replay", "payments", "--tenant", "acme", "--draft", written(document(unknown)))
    assert "  3 not replayable: A rule reads a field that these requests did not contain." in out
    assert "(payments/odd)" in out


def test_replay_accepts_a_time_window_and_overlays(book: ActingContext, written: Any) -> None:
    decided(book, 5, 500, 5000)
    no = written(document(spec(rule("no", "deny"))))
    tenant = ("--tenant", "acme", "--draft", no, "--json")
    _, out, _ = policy("replay", "payments", *tenant, "--from", "2026-01-01", "--to", "2026-01-02T00:00:00Z")
    assert json.loads(out)["replayed"] == 0
    assert policy("replay", "payments", *tenant, "--from", "yesterday")[0] == 2
    elsewhere = written({"kind": "Overlay", "policy": "payments", "scope": {"channel": "other"}}, "overlays.yaml")
    _, out, _ = policy("replay", "payments", *tenant, "--overlays", elsewhere)
    assert [flip["to_reasons"] for flip in json.loads(out)["flips"]] == [["policy_missing"]] * 3


def test_an_interrupted_replay_is_cancelled_and_can_resume(
    book: ActingContext, written: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    decided(book, 5, 500, 5000)
    draft = written(document(STRICTER))
    with monkeypatch.context() as patch:
        patch.setattr(replaying, "BATCH", 2)
        patch.setattr(replays._ProgressPrinter, "print_progress", interrupted)
        status, out, err = policy("replay", "payments", "--tenant", "acme", "--draft", draft, "--json")
    assert (status, out) == (1, "")
    (name,) = re.findall(r"--resume (rp_\w+)", err)
    status, out, _ = policy("replay", "payments", "--tenant", "acme", "--resume", name, "--json")
    assert (status, json.loads(out)["replayed"], json.loads(out)["flipped"]) == (0, 3, 1)
    assert policy("replay", "payments", "--tenant", "acme", "--resume", name)[0] == 1
    assert policy("replay", "payments", "--tenant", "acme", "--resume", "rp_nothing")[0] == 1


def interrupted(*_: Any) -> None:
    raise KeyboardInterrupt


@pytest.mark.parametrize(
    "arguments",
    [
        ("replay", "nothing", "--tenant", "acme", "--json"),
        ("replay", "payments", "--tenant", "acme", "--version", "9"),
        ("replay", "payments", "--tenant", "acme", "--draft", "/nowhere.yaml"),
        ("retire", "nothing", "--tenant", "acme", "--version", "1"),
        ("retire", "payments", "--tenant", "acme", "--version", "9"),
        ("retire", "payments", "--tenant", "nobody", "--version", "1"),
    ],
)
def test_unknown_objects_are_refused(book: ActingContext, arguments: tuple[str, ...]) -> None:
    status, out, err = policy(*arguments)
    assert (status, out) == (1, "")
    assert err


@pytest.mark.parametrize("arguments", [(), ("nonsense",), ("retire", "payments", "--tenant", "acme")])
def test_usage_errors(db: None, arguments: tuple[str, ...]) -> None:
    """A shell gets exit status 2; a caller in the same process gets the exception."""
    with pytest.raises(CommandError):
        call_command("policy", *arguments)
