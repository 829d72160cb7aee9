"""Parsing of workflow, channel and overlay documents, with pointers of errors."""

from __future__ import annotations

from typing import Any

import pytest

from policies.documents.channel import parse_channel
from policies.documents.overlay import parse_overlay
from policies.documents.workflow import parse_workflow
from tests.policies.rulebooks import PAYMENT_RUN
from threada_site.kernel import errors


@pytest.mark.parametrize(
    ("document", "pointers"),
    [
        ({"channel_requird": True}, ["/channel_requird"]),
        ({"kind": "Workflow", "id": "x", "spec": {"actions": ["Pay"]}}, ["/spec/actions/0"]),
        ({"payload_schema": {"type": 3}}, ["/payload_schema/type"]),
        (
            {"max_payload_bytes": 0, "data_class": "A b", "on_reject": "maybe"},
            ["/max_payload_bytes", "/data_class", "/on_reject"],
        ),
        ({"reject_reasons": []}, ["/reject_reasons"]),
        ({"reject_reasons": ["no"], "actions": ["a", "a"], "name": 3}, ["/reject_reasons/0", "/actions/1", "/name"]),
        ({"channel_required": "yes", "assert_format": 1}, ["/channel_required", "/assert_format"]),
    ],
)
def test_workflow_errors_have_pointers(document: Any, pointers: list[str]) -> None:
    with pytest.raises(errors.DocumentInvalid) as refused:
        parse_workflow(document)
    assert [entry.pointer for entry in refused.value.errors] == pointers


@pytest.mark.parametrize(
    ("document", "pointers"),
    [
        ({"scope": {"workflow": "x"}}, ["/policy"]),
        ({"policy": "p"}, ["/scope"]),
        ({"policy": "p", "scope": {"workflow": "x", "channel": "y"}}, ["/scope"]),
        ({"policy": "p", "scope": {"tenant": False}}, ["/scope/tenant"]),
        ({"policy": "p", "scope": {"team": "x"}}, ["/scope/team"]),
        ({"policy": "p", "scope": {"channel": ""}}, ["/scope/channel"]),
        ({"kind": "Overlays", "policy": "p", "scope": {"tenant": True}}, ["/kind"]),
    ],
)
def test_overlay_errors_have_pointers(document: Any, pointers: list[str]) -> None:
    with pytest.raises(errors.DocumentInvalid) as refused:
        parse_overlay(document)
    assert [entry.pointer for entry in refused.value.errors] == pointers


def test_overlays_and_channels_are_parsed() -> None:
    document = parse_overlay({"kind": "Overlay", "policy": "payments", "scope": {"workflow": "payment_run"}})
    assert (document.policy, document.scope) == ("payments", PAYMENT_RUN)
    assert parse_overlay({"policy": "p", "scope": {"tenant": True}}).scope.as_json() == {"tenant": True}
    assert parse_channel({"kind": "Channel", "id": "web_main"}).id == "web_main"
    assert parse_channel({"kind": "Channel", "id": "w", "spec": {"name": "Web"}}).name == "Web"
    with pytest.raises(errors.DocumentInvalid):
        parse_channel({"kind": "Channel", "id": "Web"})
