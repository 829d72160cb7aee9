"""Signatures of receipts: what is authentic, and what is not."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from telemetry.log.key_file import SigningKey
from telemetry.receipts.signature import (
    Origin,
    OriginState,
    ReceiptKey,
    ReceiptKeys,
    ReceiptSigner,
    SignedBody,
    origins_of,
)
from telemetry.tlog.texts import MalformedText
from threada_site.kernel.json.canonical import canonical_bytes

TENANT: Final = "tn_01m8eh3p6cekr9sj4kd3n5t3z6"
WEB, WORKER = SigningKey.new("web"), SigningKey.new("worker")
KEYS: Final = ReceiptKeys(ReceiptKey(key.verifier_key(key.name)) for key in (WEB, WORKER))


def receipt(number: int = 0, *, entry_point: str = "api", at: str = "2026-11-30T12:00:00.000Z") -> bytes:
    return canonical_bytes({"number": number, "occurred_at": at, "actor": {"entry_point": entry_point}})


def signed(*bodies: bytes, key: SigningKey = WEB, tenant: str = TENANT) -> list[SignedBody]:
    signatures = ReceiptSigner(key.verifier_key(key.name), key.private_key).sign(bodies, tenant=tenant)
    return [SignedBody(*pair) for pair in zip(bodies, signatures, strict=True)]


def origin(receipt: SignedBody, *, tenant: str = TENANT, keys: ReceiptKeys = KEYS) -> Origin:
    return origins_of([receipt], tenant=tenant, keys=keys)[0]


@given(st.integers(1, 40))
def test_each_receipt_of_a_batch_verifies_alone(count: int) -> None:
    for one in signed(*map(receipt, range(count))):
        assert origin(one) == Origin(OriginState.AUTHENTIC, "web")


def test_receipt_without_a_signature_is_unsigned() -> None:
    assert origin(SignedBody(receipt(), "")) == Origin(OriginState.UNSIGNED)


@pytest.mark.parametrize("entry_point", ["api", "mcp", "console"])
def test_the_web_signs_its_entry_points_alone(entry_point: str) -> None:
    body = receipt(entry_point=entry_point)
    assert origin(signed(body)[0]).state == OriginState.AUTHENTIC
    assert origin(signed(body, key=WORKER)[0]) == Origin(
        OriginState.INVALID, problem=f"the worker signed the entry point {entry_point}"
    )


@pytest.mark.parametrize("entry_point", ["job", "command"])
def test_the_web_signs_no_receipt_of_worker_or_command(entry_point: str) -> None:
    assert origin(signed(receipt(entry_point=entry_point))[0]).state == OriginState.INVALID


def test_signature_of_another_receipt_is_invalid() -> None:
    first, second = signed(receipt(1), receipt(2))
    for one in (SignedBody(first.body, second.signature), SignedBody(receipt(3), first.signature)):
        assert origin(one).state == OriginState.INVALID


def test_receipt_is_not_valid_in_another_tenant() -> None:
    assert origin(signed(receipt())[0], tenant="tn_01m8eh3p6cekr9sj4kd3n5t3z7").state == OriginState.INVALID


def test_unknown_key_is_invalid() -> None:
    stranger = SigningKey.new("web")
    found = origin(signed(receipt(), key=stranger)[0])
    assert (found.state, found.role) == (OriginState.INVALID, None)
    assert found.problem.startswith("no key web+")


@pytest.mark.parametrize(
    ("at", "state"),
    [("2026-11-30T12:00:00.000Z", OriginState.AUTHENTIC), ("2026-11-30T12:00:00.001Z", OriginState.INVALID)],
)
def test_retired_key_signs_nothing_later(at: str, state: OriginState) -> None:
    keys = ReceiptKeys([ReceiptKey(WEB.verifier_key("web"), datetime(2026, 11, 30, 12, tzinfo=UTC))])
    assert origin(signed(receipt(at=at))[0], keys=ReceiptKeys.parse(str(keys))).state == state


@pytest.mark.parametrize(
    "change",
    [
        lambda words: words[:2],
        lambda words: [*words, words[-1]],
        lambda words: words[:-1],
        lambda words: [words[0], "1/2", *words[2:]],
        lambda words: [words[0], "0/3", *words[2:]],
        lambda words: [words[0], "2/2", *words[2:]],
        lambda words: [words[0], "00/2", *words[2:]],
        lambda words: [words[0], "0", *words[2:]],
        lambda words: [words[0], words[1], words[2][:-4], *words[3:]],
        lambda words: [words[0], words[1], "A" * 86 + "==", *words[3:]],
        lambda words: [words[0].replace("web", "worker"), *words[1:]],
        lambda words: [*words, ""],
        lambda words: [*words[:3], *["A" * 43 + "="] * 65],
    ],
)
def test_changed_signature_is_invalid(change: Any) -> None:
    one = signed(receipt(1), receipt(2))[0]
    found = origin(SignedBody(one.body, " ".join(change(one.signature.split(" ")))))
    assert (found.state, found.role) == (OriginState.INVALID, None)


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b'{"actor":{"entry_point":"ghost"},"occurred_at":"2026-01-01"}'])
def test_bytes_that_are_no_receipt_are_invalid(body: bytes) -> None:
    assert origin(signed(body)[0]) == Origin(OriginState.INVALID, problem="the stored bytes are not a receipt")


def test_one_signature_covers_all_receipts_of_a_statement() -> None:
    batch = signed(*map(receipt, range(5)))
    assert len({one.signature.split(" ")[2] for one in batch}) == 1
    assert json.loads(batch[4].body)["number"] == 4
    assert [one.signature.split(" ")[1] for one in batch] == [f"{place}/5" for place in range(5)]


@pytest.mark.parametrize(
    "word",
    ["", "ghost+00000000+AA==", f"{SigningKey.new('ghost').verifier_key('ghost')}", f"{WEB.verifier_key('web')}@soon"],
    ids=["empty", "short", "role", "end"],
)
def test_malformed_public_key_is_refused(word: str) -> None:
    with pytest.raises(MalformedText):
        ReceiptKey.parse(word)
