"""Operations of the API, each written once for both clients."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any, Final, Literal

from threada_client.calls import get, path_of, post, wait_until
from threada_client.errors import Refused
from threada_client.evidence import is_sealed
from threada_client.exchange import Pause, Request, Steps, answered
from threada_client.models import (
    ActionAccepted,
    Checkpoint,
    ConfigurationApplied,
    ConfigurationPlan,
    DecisionStep,
    Event,
    Execution,
    ExecutionWithAttempts,
    Explanation,
    Me,
    ProposedChange,
    TelemetryExport,
    VoteAnswer,
    WorkItem,
    WorkItemWithEvidence,
)
from threada_client.steps import Filter, Listing, listing, operation

OPEN_EXECUTIONS: Final = frozenset({"awaiting_approval", "started", "running"})
OPEN_STEPS: Final = frozenset({"pending"})
OPEN_EXPORTS: Final = frozenset({"requested", "running"})
ENDED_WORK_ITEMS: Final = frozenset({"refused", "rejected", "expired", "resolved", "cancelled"})


class Operations:
    """Operations of both clients. An asynchronous client returns awaitables and asynchronous iterators."""

    @operation
    def me(self) -> Steps[Me]:
        """Return the principal, roles and scopes of the token."""
        return (yield from get("/me"))

    @operation
    def create_work_item(
        self,
        workflow_id: str,
        payload: Mapping[str, Any],
        *,
        channel_id: str | None = None,
        requester: str | None = None,
        evidence: Any = None,
        confidence: float | None = None,
        risk_flags: Collection[str] | None = None,
        external_ref: str | None = None,
        metadata: Mapping[str, str] | None = None,
        idempotency_key: str | None = None,
    ) -> Steps[WorkItem]:
        """Create a work item. A repeated call with the same idempotency key returns the first one."""
        body = {
            "workflow_id": workflow_id,
            "payload": payload,
            "channel_id": channel_id,
            "requester": requester,
            "evidence": evidence,
            "confidence": confidence,
            "risk_flags": None if risk_flags is None else list(risk_flags),
            "external_ref": external_ref,
            "metadata": metadata,
        }
        return (yield from post("/work-items", body, idempotency_key))

    @operation
    def work_item(self, work_item_id: str) -> Steps[WorkItemWithEvidence]:
        """Return a work item with its evidence."""
        return (yield from get(path_of("work-items", work_item_id)))

    @listing
    def work_items(self, /, **filters: Filter) -> Listing[WorkItem]:
        """Iterate over work items, newest first; `filters` are query parameters of `GET /work-items`."""
        return Listing("/work-items", filters)

    @operation
    def explain(self, work_item_id: str) -> Steps[Explanation]:
        """Return the reason for the state of a work item, and what it waits for."""
        return (yield from get(path_of("work-items", work_item_id, "explain")))

    @listing
    def timeline(self, work_item_id: str) -> Listing[Event]:
        """Iterate over the receipts of a work item."""
        return Listing(path_of("work-items", work_item_id, "timeline"), {})

    @operation
    def cancel_work_item(
        self, work_item_id: str, *, reason: str | None = None, idempotency_key: str | None = None
    ) -> Steps[WorkItem]:
        """Cancel a work item."""
        return (yield from post(path_of("work-items", work_item_id, "cancel"), {"reason": reason}, idempotency_key))

    @operation
    def execute(
        self,
        work_item_id: str,
        action_id: str,
        integration_id: str,
        *,
        action_input: Mapping[str, Any] | None = None,
        idempotency_key: str | None = None,
        wait: int = 0,
    ) -> Steps[ActionAccepted]:
        """Ask for an action. It starts at once, or when people have approved it.

        `wait`: seconds, at most 25, for which the server waits for the end of an action that needs no approval. The
        answer then has its `status` and `result`.
        """
        body = {
            "work_item_id": work_item_id,
            "action_id": action_id,
            "integration_id": integration_id,
            "input": action_input,
        }
        return (yield from post("/actions/execute", body, idempotency_key, wait=wait))

    @operation
    def execution(self, execution_id: str) -> Steps[ExecutionWithAttempts]:
        """Return an execution with its attempts."""
        return (yield from get(path_of("executions", execution_id)))

    @listing
    def executions(self, /, **filters: Filter) -> Listing[Execution]:
        """Iterate over executions; `filters` are query parameters of `GET /executions`."""
        return Listing("/executions", filters)

    @operation
    def decision_step(self, decision_step_id: str) -> Steps[DecisionStep]:
        """Return a decision step with the envelope that approvers decide on."""
        return (yield from get(path_of("decision-steps", decision_step_id)))

    @listing
    def decision_steps(self, /, **filters: Filter) -> Listing[DecisionStep]:
        """Iterate over decision steps; `filters` are query parameters of `GET /decision-steps`."""
        return Listing("/decision-steps", filters)

    @operation
    def vote(
        self,
        step: DecisionStep,
        decision: Literal["approve", "reject"],
        *,
        reason_code: str | None = None,
        comment: str | None = None,
        idempotency_key: str | None = None,
    ) -> Steps[VoteAnswer]:
        """Vote as the person of the token, on the envelope in `step`. Raise `EnvelopeChanged` if it is another now."""
        body = {
            "decision": decision,
            "envelope_sha256": step["envelope_sha256"],
            "reason_code": reason_code,
            "comment": comment,
        }
        return (yield from post(path_of("decision-steps", step["decision_step_id"], "votes"), body, idempotency_key))

    @operation
    def wait_for_work_item(
        self, work_item_id: str, *, until: Collection[str] = ENDED_WORK_ITEMS, timeout: float = 300
    ) -> Steps[WorkItemWithEvidence]:
        """Wait until the status of a work item is one of `until`. Raise `WaitTimedOut` after `timeout` seconds."""
        return (yield from wait_until(path_of("work-items", work_item_id), lambda status: status in until, timeout))

    @operation
    def wait_for_execution(self, execution_id: str, *, timeout: float = 300) -> Steps[ExecutionWithAttempts]:
        """Wait until an execution has ended. Raise `WaitTimedOut` after `timeout` seconds."""
        path = path_of("executions", execution_id)
        return (yield from wait_until(path, lambda status: status not in OPEN_EXECUTIONS, timeout))

    @operation
    def wait_for_decision_step(self, decision_step_id: str, *, timeout: float = 300) -> Steps[DecisionStep]:
        """Wait until a decision step is closed. Raise `WaitTimedOut` after `timeout` seconds."""
        path = path_of("decision-steps", decision_step_id)
        return (yield from wait_until(path, lambda status: status not in OPEN_STEPS, timeout))

    @operation
    def wait(
        self, public_id: str, *, until: Collection[str] = (), timeout: float = 300
    ) -> Steps[WorkItemWithEvidence | ExecutionWithAttempts | DecisionStep | TelemetryExport]:
        """Wait for a work item, execution, decision step or export, by its id.

        Without `until`, until it has ended. Raise `WaitTimedOut` after `timeout` seconds.
        """
        prefix = public_id.partition("_")[0]
        if prefix not in _WAITED_FOR:
            raise ValueError(f"{public_id} is no id of {', '.join(folder for folder, _ in _WAITED_FOR.values())}")
        folder, has_ended = _WAITED_FOR[prefix]
        path = f"/telemetry{path_of(folder, public_id)}" if folder == "exports" else path_of(folder, public_id)
        return (yield from wait_until(path, (lambda status: status in until) if until else has_ended, timeout))

    @operation
    def create_export(
        self,
        *,
        filters: Mapping[str, str] | None = None,
        created_after: str | None = None,
        created_before: str | None = None,
        file_format: str = "ndjson",
        idempotency_key: str | None = None,
    ) -> Steps[TelemetryExport]:
        """Ask for a file of receipts."""
        body = {
            "format": file_format,
            "filters": filters,
            "created_after": created_after,
            "created_before": created_before,
        }
        return (yield from post("/telemetry/exports", body, idempotency_key))

    @operation
    def wait_for_export(self, export_id: str, *, timeout: float = 600) -> Steps[TelemetryExport]:
        """Wait until the file of an export is ready, failed or gone. Raise `WaitTimedOut` after `timeout` seconds."""
        path = path_of("telemetry", "exports", export_id)
        return (yield from wait_until(path, lambda status: status not in OPEN_EXPORTS, timeout))

    @operation
    def download_export(self, export_id: str, path: Path) -> Steps[Path]:
        """Write the file of an export to `path`, which is replaced once the file is complete."""
        yield from answered(Request("GET", path_of("telemetry", "exports", export_id, "download"), into=path))
        return path

    @operation
    def download_evidence(self, export_id: str, path: Path, *, timeout: float = 60) -> Steps[Path]:
        """Write the file of an export with the proofs of its receipts to `path`.

        Receipts are sealed about a second after they are written: repeat for up to `timeout` seconds until all are.
        After that, the evidence names those that are not.
        """
        request = Request("GET", path_of("telemetry", "exports", export_id, "evidence"), into=path)
        deadline = time.monotonic() + timeout
        while True:
            try:
                yield from answered(request)
                if is_sealed(path) or time.monotonic() > deadline:
                    return path
            except Refused as refused:
                if refused.reason_code != "receipt_not_sealed" or time.monotonic() > deadline:
                    raise
            yield Pause(1.0)

    @listing
    def checkpoints(self) -> Listing[Checkpoint]:
        """Iterate over the signed checkpoints of the tenant's log, newest first."""
        return Listing("/checkpoints", {})

    @operation
    def receipt_proof(self, receipt_id: str) -> Steps[str]:
        """Return the inclusion proof of a receipt (c2sp.org/tlog-proof)."""
        answer = yield from answered(Request("GET", path_of("receipts", receipt_id, "proof")))
        return answer.body.decode()

    @operation
    def plan_configuration(
        self, files: Mapping[str, str], *, prune: bool = False, strict: bool = False
    ) -> Steps[ConfigurationPlan]:
        """Return the changes that documents would make. `files`: their texts by path."""
        return (yield from post("/configuration/plan", _documents(files, prune=prune, strict=strict), None))

    @operation
    def apply_configuration(
        self,
        files: Mapping[str, str],
        digest: str,
        *,
        prune: bool = False,
        strict: bool = False,
        revision: str = "",
        idempotency_key: str | None = None,
    ) -> Steps[ConfigurationApplied | ProposedChange]:
        """Put documents in force, if that is still the plan with `digest`: all of them or none.

        Where an independent person must publish the change, the result is the change set.
        """
        body = {**_documents(files, prune=prune, strict=strict), "digest": digest, "revision": revision}
        return (yield from post("/configuration/apply", body, idempotency_key))


def _documents(files: Mapping[str, str], *, prune: bool, strict: bool) -> dict[str, Any]:
    return {
        "files": [{"path": path, "text": text} for path, text in files.items()],
        "prune": prune,
        "strict": strict,
    }


def _has_ended(status: str) -> bool:
    return status not in OPEN_EXECUTIONS | OPEN_STEPS | OPEN_EXPORTS


_WAITED_FOR: Final[dict[str, tuple[str, Callable[[str], bool]]]] = {
    "wi": ("work-items", lambda status: status in ENDED_WORK_ITEMS),
    "ex": ("executions", _has_ended),
    "ds": ("decision-steps", _has_ended),
    "te": ("exports", _has_ended),
}
