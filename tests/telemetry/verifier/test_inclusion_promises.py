"""Offline verification of inclusion promises: no changed promise is accepted."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from telemetry.inclusion_promises.statement import (
    endorsement_text,
    inclusion_promise_private_key,
    inclusion_promise_public_key,
    sign_inclusion_promise,
)
from telemetry.receipts.collection import RecordedReceipt
from telemetry.tlog.hashing import leaf_hash
from telemetry.tlog.note import Signer, sign
from tests.telemetry.tlog.logs import Log, key
from tests.telemetry.verifier.conftest import Run
from tests.telemetry.verifier.evidence import KEY, TENANT, body, receipt_id, verifier
from tests.telemetry.verifier.test_mutated_proofs import bit_of_text, character, line

GIVEN = datetime(2026, 11, 25, 12, tzinfo=UTC)
SECRET = "a secret of this test"
KEY_NOTE = str(
    sign(
        endorsement_text("threada.test", inclusion_promise_public_key(SECRET)),
        [Signer("threada.test/promise-key", key(1))],
    )
)


def promise(*numbers: int, tenant: str = TENANT, secret: str = SECRET) -> str:
    receipts = [RecordedReceipt(receipt_id(number), body(number)) for number in numbers]
    due = GIVEN + timedelta(days=1)
    return str(
        sign_inclusion_promise(receipts, instance="threada.test", tenant=tenant, secret=secret, given=GIVEN, due=due)
    )


def opened(note: str, key_note: str = KEY_NOTE) -> object:
    file = verifier()
    return file.InclusionPromise.open(note, key_note, [file.Key.parse(KEY)])


def test_promise_is_reported() -> None:
    found = verifier().InclusionPromise.open(promise(3, 4), KEY_NOTE, [verifier().Key.parse(KEY)])
    assert found.leaves == {receipt_id(number): leaf_hash(body(number)) for number in (3, 4)}
    assert (found.origin, found.given, found.due) == (
        f"threada.test/{TENANT}", "2026-11-25T12:00:00Z", "2026-11-26T12:00:00Z",
    )  # fmt: skip


@pytest.mark.parametrize(
    "text",
    [
        "",
        "given 2026-11-25T12:00:00Z\ndue 2026-11-26T12:00:00Z\n",
        "log threada.test/tn_x\ngiven 2026-11-25T12:00:00Z\ndue 2026-11-26T12:00:00Z\n",
        "log else.where/tn_x\ngiven 2026-11-25T12:00:00Z\ndue 2026-11-26T12:00:00Z\nreceipt rc_1 AA==\n",
        "log threada.test/tn_x\ngiven yesterday\ndue 2026-11-26T12:00:00Z\nreceipt rc_1 AA==\n",
        "log threada.test/tn_x\ngiven 2026-11-25T12:00:00Z\ndue 2026-11-26T12:00:00Z\nreceipt rc_1 AA==\n",
    ],
)
def test_a_note_of_the_right_key_that_is_no_promise(text: str) -> None:

    note = sign(
        f"threada.test/promises\n{text}", [Signer("threada.test/promises", inclusion_promise_private_key(SECRET))]
    )
    with pytest.raises(verifier().VerificationError):
        opened(str(note))


def test_a_receipt_without_its_proof_is_wrong_use(run: Run, tmp_path: Path) -> None:
    given, receipt = tmp_path / "promise.txt", tmp_path / "receipt.json"
    given.write_text(promise(1) + KEY_NOTE)
    receipt.write_bytes(body(1))
    said = run("--promise", given, receipt)
    message = f"{receipt} is not evidence: a receipt needs --proof, and a whole log needs --checkpoint"
    assert (said.code, said.out, said.err) == (2, "", f"threada_verify.py: {message}\n")


def test_key_without_endorsement() -> None:
    with pytest.raises(verifier().VerificationError, match=r"no key given for threada\.test/promises"):
        opened(promise(1, secret="another"))
    own = sign(
        endorsement_text("threada.test", inclusion_promise_public_key("own")),
        [Signer("threada.test/promise-key", key(9))],
    )
    with pytest.raises(verifier().VerificationError, match=r"no key given for threada\.test/promise-key"):
        opened(promise(1, secret="own"), str(own))


def test_no_mutated_promise_is_accepted() -> None:
    file, good, log, dice = verifier(), promise(1, 2), Log.of([body(1)]), random.Random(2026)
    tried = 0
    while tried < 3000:
        mutation = dice.choice([bit_of_text, character, line])
        notes = [good, KEY_NOTE]
        at = dice.randrange(2)
        notes[at] = mutation(dice, log, (notes[at], b""))[0]
        if notes == [good, KEY_NOTE]:
            continue
        tried += 1
        try:
            opened(*notes)
        except (file.VerificationError, UnicodeEncodeError):
            continue
        raise AssertionError(f"{mutation.__name__} was accepted: {notes}")
