"""Documents of the `mock` connector: a simulated system. Nothing is sent; the document contains the answers.

connector: mock
actions:
  pay:
    request: {vendor: "${item.payload.vendor}"}    # what a real system would get; shown to approvers
    answer: {payment_id: "${item.id}"}              # what the simulated system answers
    files: ["${item.payload.invoice}"]              # attachments, whose bytes are checked as if they were sent
    delay: PT2S                                    # at most 10 s; default: none
    fails: "${input.simulate}"                     # a class of failure, or empty text: it succeeds
  order:
    completes: callback                            # the simulated system calls back later, without secrets
    callback_after: PT30S                          # at most 1 day; default: 5 s
    callback_status: "${input.ends}"               # succeeded (default), failed, or none: it never calls back
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from integrations.attempts.failures import FailureClass
from integrations.documents.fields import Fields
from integrations.documents.files import files_schema, read_files
from integrations.documents.grammar import Destination
from integrations.documents.schema import CALLBACK_ACTION, IDEMPOTENT, integration_schema, seconds
from integrations.documents.templates import Place, Template
from threada_site.kernel.documents.structure import Schema

MOCK: Final = "mock"
LONGEST_DELAY_S: Final = 10.0
SIMULATED_FAILURES: Final = (
    FailureClass.TIMEOUT,
    FailureClass.CONNECTION_REFUSED,
    FailureClass.RECEIVER_RATE_LIMITED,
    FailureClass.REJECTED_BY_RECEIVER,
    FailureClass.BAD_RESPONSE,
)
FAILURE_ADVICE: Final = (
    f"Write one of {', '.join(SIMULATED_FAILURES)}, or an expression with such a value or empty text."
)
LONGEST_CALLBACK_DELAY_S: Final = 86400.0
DEFAULT_CALLBACK_DELAY_S: Final = 5.0
CALLBACK_STATUSES: Final = ("succeeded", "failed", "none")
STATUS_ADVICE: Final = f"Write one of {', '.join(CALLBACK_STATUSES)}, or an expression with such a value."
_VALUE: Final[Schema] = {"type": "object", "additionalProperties": True, "default": {}}


@dataclass(frozen=True, slots=True)
class MockCall:
    """Request, answer and failure of a simulated action, as templates."""

    request: Template
    files: tuple[Template, ...]
    answer: Template
    fails: Template
    delay_s: float
    calls_back: bool
    callback_after_s: float
    callback_status: Template


class MockGrammar:
    schema = integration_schema(
        {"idempotent": {**IDEMPOTENT, "default": True}},
        action={
            "request": {
                **_VALUE,
                "description": "What a real system would get; can contain ${ … }.",
                "examples": [{"vendor": "${item.payload.vendor}"}],
            },
            "files": files_schema("Attachments whose bytes are read and checked, as if they were sent."),
            "answer": {
                **_VALUE,
                "description": "What the simulated system answers; can contain ${ … }.",
                "examples": [{"payment_id": "${item.id}"}],
            },
            "fails": {
                "type": "string",
                "default": "",
                "description": "Class of failure to simulate, or one ${ … }; empty text: success.",
                "examples": ["rejected_by_receiver"],
            },
            "delay": seconds(LONGEST_DELAY_S, "Duration of the simulated call. Default: none.", examples=["PT2S"]),
            **CALLBACK_ACTION,
            "callback_after": seconds(
                LONGEST_CALLBACK_DELAY_S, "Time until the simulated callback.", default=DEFAULT_CALLBACK_DELAY_S
            ),
            "callback_status": {
                "type": "string",
                "default": CALLBACK_STATUSES[0],
                "description": "What the simulated callback says, or one ${ … }: succeeded, failed, or none, "
                "which means that it never comes.",
                "examples": ["failed"],
            },
        },
        description="A simulated system: nothing is sent.",
    )

    def read_spec(self, spec: Fields) -> Destination:
        return Destination()

    def read_call(self, slug: str, action: Fields, destination: Destination) -> MockCall:
        fails = action.value("fails", "")
        if fails and "${" not in fails and fails not in SIMULATED_FAILURES:
            action.refuse(FAILURE_ADVICE, "fails")
        status = action.value("callback_status", CALLBACK_STATUSES[0])
        if "${" not in status and status not in CALLBACK_STATUSES:
            action.refuse(STATUS_ADVICE, "callback_status")
        return MockCall(
            request=action.template("request", default={}),
            files=read_files(action),
            answer=action.template("answer", default={}),
            fails=action.template("fails", Place.TEXT, default=""),
            delay_s=action.seconds("delay", LONGEST_DELAY_S, highest=LONGEST_DELAY_S) if "delay" in action else 0.0,
            calls_back=action.value("completes") == "callback",
            callback_after_s=action.seconds(
                "callback_after", DEFAULT_CALLBACK_DELAY_S, highest=LONGEST_CALLBACK_DELAY_S
            ),
            callback_status=action.template("callback_status", Place.TEXT, default=CALLBACK_STATUSES[0]),
        )
