"""Envelopes: equal input gives equal bytes, and any changed byte is a mismatch."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import pytest

from integrations.attempts.failures import FailureClass, TransportFailure
from integrations.executions.envelope import FORMAT, build_envelope, check_agrees, open_envelope
from threada_site.kernel.json.canonical import canonical_bytes

PAY: dict[str, Any] = {
    "salt": "e" * 64,
    "work_item_id": "wi_1",
    "item_version": 3,
    "payload_sha256": "a" * 64,
    "policy_version_ids": ["pv_2", "pv_1", "pv_2"],
    "evidence": [{"kind": "citation", "sha256": "b" * 64}],
    "integration": "int_bank",
    "integration_version_id": "iv_1",
    "connector": "http",
    "action": "pay",
    "action_sha256": "c" * 64,
    "request": {
        "method": "POST",
        "url": "https://bank.example/p",
        "headers": {},
        "auth": None,
        "body": {"b": 1, "a": 2.0},
    },
    "idempotency_key": "ex_1",
    "input_sha256": "d" * 64,
    "idempotent": True,
    "resolves": True,
}


def test_envelope_bytes_are_canonical_and_match_their_digest() -> None:
    envelope = build_envelope(**PAY)
    assert envelope.sha256 == hashlib.sha256(envelope.body).hexdigest()
    assert envelope.body == canonical_bytes(json.loads(envelope.body))
    assert open_envelope(envelope.body, envelope.sha256) == {
        "format": FORMAT,
        "salt": "e" * 64,
        "work_item": {"id": "wi_1", "version": 3, "payload_sha256": "a" * 64},
        "integration": {"id": "int_bank", "version_id": "iv_1", "connector": "http"},
        "action": {"id": "pay", "spec_sha256": "c" * 64, "idempotent": True, "resolves": True},
        "request": PAY["request"],
        "idempotency_key": "ex_1",
        "input_sha256": "d" * 64,
        "policy_version_ids": ["pv_1", "pv_2"],
        "evidence": [{"kind": "citation", "sha256": "b" * 64}],
        "question": None,
    }


def test_order_of_members_and_versions_does_not_matter() -> None:
    request = dict(reversed(PAY["request"].items()))
    again = build_envelope(
        **{**dict(reversed(PAY.items())), "request": request, "policy_version_ids": ["pv_1", "pv_2"]}
    )
    assert again == build_envelope(**PAY)


@pytest.mark.parametrize("name", sorted(PAY))
def test_every_part_changes_the_digest(name: str) -> None:
    value = PAY[name]
    other: Any = {"changed": 1} if isinstance(value, dict) else [*value, "x"] if isinstance(value, list) else "x"
    other = not value if isinstance(value, bool) else value + 1 if isinstance(value, int) else other
    assert build_envelope(**{**PAY, name: other}).sha256 != build_envelope(**PAY).sha256


def test_envelope_of_an_item_has_no_action() -> None:
    parts = ("salt", "work_item_id", "item_version", "payload_sha256", "policy_version_ids", "evidence")
    content = build_envelope(**{name: PAY[name] for name in parts}, question="May this vendor be used?")
    opened = open_envelope(content.body, content.sha256)
    assert {opened[name] for name in ("action", "integration", "request", "idempotency_key")} == {None}
    assert opened["question"] == "May this vendor be used?"


@pytest.mark.parametrize(
    "name",
    ["integration", "integration_version_id", "connector", "action_sha256", "request", "idempotency_key", "action"],
)
def test_incomplete_action_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="or none of them"):
        build_envelope(**{**PAY, name: None})


def test_any_flipped_byte_is_a_mismatch() -> None:
    envelope = build_envelope(**PAY)
    for position in range(len(envelope.body)):
        changed = bytearray(envelope.body)
        changed[position] ^= 1
        with pytest.raises(TransportFailure) as mismatch:
            open_envelope(bytes(changed), envelope.sha256)
        assert (mismatch.value.failure, mismatch.value.ambiguous) == (FailureClass.ENVELOPE_MISMATCH, False)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"null",
        b"[]",
        b"{",
        b'{"format":"threada-envelope/4"}',
        b'{ "format":"threada-envelope/1"}',
        b'{"format":"threada-envelope/1","a":1,"a":2}',
    ],
)
def test_bytes_that_hash_right_and_read_wrong_are_a_mismatch(body: bytes) -> None:
    with pytest.raises(TransportFailure) as mismatch:
        open_envelope(body, hashlib.sha256(body).hexdigest())
    assert mismatch.value.failure is FailureClass.ENVELOPE_MISMATCH


def test_envelope_contains_no_secret_value() -> None:
    auth = {"scheme": "bearer", "secret": {"env": "BANK_TOKEN"}}
    content = build_envelope(**{**PAY, "request": {**PAY["request"], "auth": auth}})
    assert open_envelope(content.body, content.sha256)["request"]["auth"] == auth


def test_envelope_agrees_with_one_built_now() -> None:
    opened = open_envelope(build_envelope(**PAY).body, build_envelope(**PAY).sha256)
    check_agrees(opened, build_envelope(**PAY))
    with pytest.raises(TransportFailure, match="not what the envelope contains: evidence, input_sha256"):
        check_agrees(opened, build_envelope(**{**PAY, "evidence": [], "input_sha256": "0" * 64}))
    for changed in ({**opened, "extra": 1}, {name: value for name, value in opened.items() if name != "question"}):
        with pytest.raises(TransportFailure, match="not what the envelope contains"):
            check_agrees(changed, build_envelope(**PAY))


@pytest.mark.parametrize(("form", "lacks"), [(1, ("idempotency_key", "salt")), (2, ("salt",))])
def test_earlier_formats_can_be_opened(form: int, lacks: tuple[str, ...]) -> None:
    content = json.loads(build_envelope(**PAY).body)
    earlier = {name: value for name, value in content.items() if name not in lacks}
    body = canonical_bytes({**earlier, "format": f"threada-envelope/{form}"})
    opened = open_envelope(body, hashlib.sha256(body).hexdigest())
    check_agrees(opened, build_envelope(**PAY))
    with pytest.raises(TransportFailure, match="input_sha256"):
        check_agrees(opened, build_envelope(**{**PAY, "input_sha256": "0" * 64}))
