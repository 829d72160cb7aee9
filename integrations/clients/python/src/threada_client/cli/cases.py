"""Commands about work items: submit, wait, decide, explain."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any, Final, Literal

import click

from threada_client.cli.credentials import client
from threada_client.cli.exit_codes import NEGATIVE
from threada_client.cli.output import show_fields, show_json, show_table, text_of
from threada_client.models import DecisionStep

_GOOD: Final = frozenset({"approved", "ready", "resolved", "succeeded"})
_ITEM: Final = ("work_item_id", "title", "status", "workflow_id", "requester", "external_ref")
_EXECUTION: Final = ("execution_id", "status", "action_id", "integration_id", "failure", "failure_detail")
_STEP: Final = (
    "decision_step_id",
    "kind",
    "status",
    "title",
    "question",
    "respond_due_at",
    "due_at",
    "envelope_sha256",
)
as_json = click.option("--json", "is_json", is_flag=True, help="Print JSON.")


@click.command()
@click.argument("workflow")
@click.argument("payload")
@click.option("--channel", help="Channel through which the request comes.")
@click.option("--external-ref", help="Your own reference.")
@click.option("--action", help="Also ask for this action.")
@click.option("--integration", help="Integration of the action.")
@click.option("--idempotency-key", help="Key under which a repeated command returns the first work item.")
@as_json
def submit(
    workflow: str,
    payload: str,
    channel: str | None,
    external_ref: str | None,
    action: str | None,
    integration: str | None,
    idempotency_key: str | None,
    is_json: bool,
) -> None:
    """Create a work item of WORKFLOW. PAYLOAD is JSON, @FILE, or - for standard input."""
    if bool(action) != bool(integration):
        raise click.UsageError("--action and --integration go together.")
    with client() as threada:
        item = threada.create_work_item(
            workflow,
            _payload(payload),
            channel_id=channel,
            external_ref=external_ref,
            idempotency_key=idempotency_key,
        )
        answer: dict[str, Any] = {"work_item": item}
        if action and integration:
            key = f"{idempotency_key}-execute" if idempotency_key else None
            answer["execution"] = threada.execute(item["work_item_id"], action, integration, idempotency_key=key)
    if is_json:
        show_json(answer)
        return
    show_fields(item, _ITEM)
    if "execution" in answer:
        show_fields({**answer["execution"], "action_id": action}, _EXECUTION)


@click.command()
@click.argument("public_id", metavar="ID")
@click.option("--until", multiple=True, help="Status to wait for; can be repeated. Default: until it has ended.")
@click.option("--timeout", default=300.0, show_default=True, help="Seconds.")
@as_json
def wait(public_id: str, until: tuple[str, ...], timeout: float, is_json: bool) -> None:
    """Wait for a work item, execution, decision step or export. Exits with 1 if it ended badly, 7 after the time."""
    try:
        with client() as threada:
            resource = threada.wait(public_id, until=until, timeout=timeout)
    except ValueError as wrong:
        raise click.UsageError(str(wrong)) from None
    if is_json:
        show_json(resource)
    else:
        show_fields(
            resource, (*_STEP, *_EXECUTION, *_ITEM, "export_id") if public_id[:2] == "ds" else _shown(public_id)
        )
    if not until and resource["status"] not in _GOOD | {"ready"}:
        sys.exit(NEGATIVE)


@click.command()
@click.argument("decision_step_id", metavar="[STEP]", required=False)
@click.argument("decision", type=click.Choice(["approve", "reject"]), required=False)
@click.option("--reason", help="Reason code of a rejection.")
@click.option("--comment", help="Comment that is stored with the vote.")
@click.option("--envelope", help="SHA-256 of the envelope that you decide on, instead of reading it here.")
@as_json
def decide(
    decision_step_id: str | None,
    decision: Literal["approve", "reject"] | None,
    reason: str | None,
    comment: str | None,
    envelope: str | None,
    is_json: bool,
) -> None:
    """Vote on STEP as yourself; list the steps that wait for you without one.

    The envelope is shown, and you confirm it. In scripts, name it by --envelope.
    """
    with client() as threada:
        if decision_step_id is None:
            steps = list(threada.decision_steps(mine="true", status="pending"))
            show_json(steps) if is_json else show_table(steps, _STEP[:4])
            return
        step = threada.decision_step(decision_step_id)
        if decision is None:
            show_json(step) if is_json else _show_step(step)
            return
        _confirm(step, decision, envelope)
        vote = threada.vote(step, decision, reason_code=reason, comment=comment)
    if is_json:
        show_json(vote)
    else:
        show_fields(vote, ("vote_id", "decision", "counted", "step_status", "work_item_status"))


@click.command()
@click.argument("work_item_id")
@as_json
def explain(work_item_id: str, is_json: bool) -> None:
    """Say why a work item is where it is, and what it waits for."""
    with client() as threada:
        found = threada.explain(work_item_id)
    if is_json:
        show_json(found)
        return
    show_fields(found, ("work_item_id", "status", "wait_ends_at"))
    for head in ("why", "waiting_for", "next", "you_may"):
        sentences: Any = found.get(head) or ()
        for sentence in sentences:
            show_fields({head: sentence}, (head,))


def _confirm(step: DecisionStep, decision: str, envelope: str | None) -> None:
    """Refuse another envelope than the named one; without a name, show it and ask."""
    if envelope is not None:
        if envelope != step["envelope_sha256"]:
            raise click.UsageError(
                f"The envelope is {text_of(step['envelope_sha256'])} now. Read it before you decide."
            )
        return
    if not sys.stdin.isatty():
        raise click.UsageError("Name what you decide on by --envelope SHA256; nobody is at the terminal.")
    _show_step(step)
    click.confirm(f"{decision.capitalize()} this?", abort=True)


def _show_step(step: DecisionStep) -> None:
    show_fields(step, _STEP)
    show_json(step["envelope"])


def _shown(public_id: str) -> tuple[str, ...]:
    return {"wi": _ITEM, "ex": _EXECUTION, "te": ("export_id", "status", "rows", "size", "failure")}[public_id[:2]]


def _payload(text: str) -> dict[str, Any]:
    try:
        if text == "-":
            text = sys.stdin.read()
        elif text.startswith("@"):
            text = Path(text[1:]).read_text(encoding="utf-8")
        found = json.loads(text)
    except (OSError, ValueError) as wrong:
        raise click.UsageError(f"PAYLOAD: {wrong}") from None
    if not isinstance(found, dict):
        raise click.UsageError("PAYLOAD must be an object.")
    return found
