"""Problem documents of the web server have the form of the API's."""

from __future__ import annotations

import json

import pytest

from tests.threada_site.runtime.web.rsgi import Headers
from threada_site.api.problems import problem_document
from threada_site.kernel import errors
from threada_site.runtime.web.refusals import refusal_answer, refusal_document

REFUSALS = [
    errors.RequestTimeout(),
    errors.PayloadTooLarge("The body has 9 bytes; 8 are allowed."),
    errors.ServerBusy(),
    errors.TooManyConnections(),
    errors.InstanceStopping(),
    errors.InternalError(),
]


@pytest.mark.parametrize("error", REFUSALS, ids=lambda error: error.reason_code)
def test_document_is_that_of_the_api(error: errors.ThreadaError) -> None:
    assert refusal_document(error, correlation_id="c" * 8) == problem_document(error, correlation_id="c" * 8)


def test_answer_ends_the_connection_and_carries_the_correlation_id() -> None:
    sent = Headers(("threada-correlation-id", "order-4711"))
    status, headers, body = refusal_answer(errors.RequestTimeout(headers={"Retry-After": "1"}), sent)
    assert status == 408
    assert dict(headers)["connection"] == "close"
    assert dict(headers)["retry-after"] == "1"
    assert dict(headers)["threada-correlation-id"] == json.loads(body)["correlation_id"] == "order-4711"


def test_correlation_id_that_is_not_well_formed_is_replaced() -> None:
    _, headers, _ = refusal_answer(errors.ServerBusy(), Headers(("threada-correlation-id", "a b")))
    assert len(dict(headers)["threada-correlation-id"]) == 32
