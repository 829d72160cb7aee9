"""Answers of MCP servers, which can send anything."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import orjson
import pytest

from integrations.connectors.mcp_messages import UnusableMessage, result_in
from integrations.connectors.response_outcomes import outcome_of_answer, without
from integrations.transport import OutboundAnswer


def answer(document: Any, media_type: str = "application/json") -> OutboundAnswer:
    body = document if isinstance(document, bytes) else orjson.dumps(document)
    return OutboundAnswer(200, (("content-type", media_type),), body, 1.0)


@pytest.mark.parametrize(
    ("code", "is_refusal"), [(-32602, True), (-32000, False), ([-32602], False), ({}, False), ("-32602", False)]
)
def test_only_a_known_code_says_that_nothing_was_done(code: Any, is_refusal: bool) -> None:
    with pytest.raises(UnusableMessage, match="the error") as raised:
        result_in(answer({"jsonrpc": "2.0", "id": 1, "error": {"code": code, "message": "no"}}))
    assert raised.value.is_refusal is is_refusal


@pytest.mark.parametrize(
    "sent",
    [[], 5, "text", {"id": 2, "result": {}}, {"id": 1, "result": []}, {"id": 1, "method": "x"}, b"", b"{", b"\xff" * 9],
)
def test_other_answers_contain_no_result(sent: Any) -> None:
    with pytest.raises(UnusableMessage) as raised:
        result_in(answer(sent))
    assert raised.value.is_refusal is False


def test_the_response_is_found_among_the_events_of_a_stream() -> None:
    stream = b'id: 1\ndata: \n\n: ping\r\n\r\ndata: {"method": "x"}\r\n\r\nevent: message\ndata: {"id": 1,\ndata: "result": {"a": 1}}'
    assert result_in(answer(stream, "text/event-stream; charset=utf-8")) == {"a": 1}


def test_a_short_session_id_is_recorded_nowhere() -> None:
    """Servers choose their ids: also two characters are hidden, plain and inside of JSON."""
    outcome = outcome_of_answer(answer({"session": "s1"}), now=datetime.now(UTC), secrets=["s1"])
    assert "s1" not in str(outcome.response)
    assert without("Session s1 has ended", ["s1"]) == "Session [redacted] has ended"
