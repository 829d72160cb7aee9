"""The `mock` connector: a simulated system that answers from the integration's document. Nothing is sent.

The request in the envelope is `{simulated: true, request, answer, fails, delay_s}` and optionally `files`, whose bytes
a call reads and checks. A call returns the `answer` of the envelope, so that every attempt has the same result.

An action that completes by callback has `callback: {after_s, status}` in its request. A job of this instance then takes
the simulated callback, with the `answer` of the envelope.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any, Final

from integrations.attempts.failures import FailureClass, TransportFailure
from integrations.attempts.outcomes import Outcome
from integrations.connectors.attached_files import render_file
from integrations.connectors.protocol import CallTerms
from integrations.documents import ActionDocument, IntegrationDocument
from integrations.documents.mock_actions import (
    CALLBACK_STATUSES,
    FAILURE_ADVICE,
    MOCK,
    SIMULATED_FAILURES,
    STATUS_ADVICE,
    MockCall,
)
from integrations.documents.templates import render
from threada_site.kernel.errors import ExpressionFailed

_AMBIGUOUS: Final = frozenset({FailureClass.TIMEOUT, FailureClass.BAD_RESPONSE})


class MockConnector:
    """Simulates calls inside the worker."""

    name: Final = MOCK

    def build_request(
        self, integration: IntegrationDocument, action: ActionDocument, facts: Mapping[str, Any]
    ) -> dict[str, Any]:
        """Build the request, see `Connector.build_request`."""
        call = action.call
        if not isinstance(call, MockCall):
            raise TypeError(f"The action {action.slug} is not one of a mock integration.")
        fails = render(call.fails, facts)
        if fails and fails not in SIMULATED_FAILURES:
            raise ExpressionFailed(f"fails is {fails[:60]!r}. {FAILURE_ADVICE}")
        files = {"files": [render_file(file, facts) for file in call.files]} if call.files else {}
        return {
            **files,
            **({"callback": _callback(call, facts)} if call.calls_back else {}),
            "simulated": True,
            "request": render(call.request, facts),
            "answer": render(call.answer, facts),
            "fails": fails or None,
            "delay_s": call.delay_s,
        }

    def call(self, request: Mapping[str, Any], terms: CallTerms) -> Outcome:
        """Simulate the call, see `OutboundConnector.call`."""
        files = {"files": list(request["files"])} if "files" in request else {}
        try:
            for about in request.get("files", ()):
                terms.file(about)
        except TransportFailure as refused:
            return Outcome.of_failure(refused)
        time.sleep(min(request["delay_s"], terms.timeout_s))
        fails = request["fails"]
        if request["delay_s"] >= terms.timeout_s:
            fails = FailureClass.TIMEOUT
        if fails is None:
            answer = {} if "callback" in request else {"answer": request["answer"]}
            return Outcome(response={"simulated": True, **answer, **files})
        failure = FailureClass(fails)
        return Outcome(
            failure=failure,
            ambiguous=failure in _AMBIGUOUS,
            detail=f"Simulated: nothing was sent. The document of the integration simulates {failure}.",
            response={"simulated": True},
        )


def _callback(call: MockCall, facts: Mapping[str, Any]) -> dict[str, Any]:
    """Return the simulated callback of an action. Raises `ExpressionFailed`."""
    status = render(call.callback_status, facts)
    if status not in CALLBACK_STATUSES:
        raise ExpressionFailed(f"callback_status is {status[:60]!r}. {STATUS_ADVICE}")
    return {"after_s": call.callback_after_s, "status": status}
