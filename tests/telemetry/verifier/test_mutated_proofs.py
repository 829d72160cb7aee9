"""Mutated proofs: neither the verifier nor the product's own parser accepts one."""

from __future__ import annotations

import os
import random
import secrets
from collections.abc import Callable
from functools import cache

import pytest

from telemetry.tlog.note import Signature, SignedNote, Signer, VerifierKey
from telemetry.tlog.proof_text import TlogProof
from telemetry.tlog.proofs import consistency_holds
from telemetry.tlog.texts import encoded
from telemetry.tlog.tree import NodeId
from tests.examples import long_run
from tests.telemetry.tlog.logs import Log, key
from tests.telemetry.verifier.evidence import KEY, ORIGIN, SIGNER, body, log_of, verifier

ROUNDS = long_run(100_000)
MALLORY = Signer(ORIGIN, key(9))
KNOWN = VerifierKey.parse(KEY)
THEIR_KEY = verifier().Key.parse(KEY)

type Case = tuple[str, bytes]
type Mutation = Callable[[random.Random, Log, Case], Case]


@cache
def places_of(size: int) -> list[NodeId]:
    """Return all nodes of a log."""
    return [NodeId(level, at) for level in range(size.bit_length()) for at in range(size >> level)]


def bit_of_text(dice: random.Random, log: Log, case: Case) -> Case:
    raw = bytearray(case[0].encode())
    raw[dice.randrange(len(raw))] ^= 1 << dice.randrange(8)
    return raw.decode(errors="surrogateescape"), case[1]


def bit_of_receipt(dice: random.Random, log: Log, case: Case) -> Case:
    raw = bytearray(case[1])
    raw[dice.randrange(len(raw))] ^= 1 << dice.randrange(8)
    return case[0], bytes(raw)


def character(dice: random.Random, log: Log, case: Case) -> Case:
    text, at = case[0], dice.randrange(len(case[0]))
    return dice.choice([text[:at] + text[at + 1 :], text[:at] + dice.choice("A0+/=\n —") + text[at:]]), case[1]


def line(dice: random.Random, log: Log, case: Case) -> Case:
    lines = case[0].split("\n")
    at, other = dice.randrange(len(lines)), dice.randrange(len(lines))
    match dice.randrange(4):
        case 0:
            del lines[at]
        case 1:
            lines.insert(at, lines[other])
        case 2:
            lines[at], lines[other] = lines[other], lines[at]
        case _:
            lines.insert(at, encoded(dice.randbytes(32)))
    return "\n".join(lines), case[1]


def other_hash(dice: random.Random, log: Log, case: Case) -> Case:
    proof = TlogProof.parse(case[0])
    path = list(proof.path)
    if path and dice.random() < 0.9:
        path[dice.randrange(len(path))] = dice.choice(
            [log.nodes[dice.choice(places_of(log.tree.size))], dice.randbytes(32)]
        )
    else:
        path.insert(dice.randrange(len(path) + 1), dice.randbytes(32))
    return str(TlogProof(proof.index, tuple(path), proof.checkpoint)), case[1]


def other_index(dice: random.Random, log: Log, case: Case) -> Case:
    proof = TlogProof.parse(case[0])
    index = dice.choice([proof.index ^ 1 << dice.randrange(12), dice.randrange(log.tree.size), dice.randrange(1 << 62)])
    return str(TlogProof(index, proof.path, proof.checkpoint)), case[1]


def other_receipt(dice: random.Random, log: Log, case: Case) -> Case:
    return case[0], dice.choice([*log.entries, body(dice.randrange(10**9))])


def other_place(dice: random.Random, log: Log, case: Case) -> Case:
    """Return a valid proof of another receipt, or of another size, under this checkpoint."""
    proof = TlogProof.parse(case[0])
    size = dice.randrange(1, log.tree.size + 1)
    index = dice.randrange(size)
    return str(TlogProof(index, tuple(log.inclusion(index, size)), proof.checkpoint)), case[1]


def forged(dice: random.Random, log: Log, case: Case) -> Case:
    """Return a log with a changed receipt, signed with another key or without a valid signature."""
    changed = body(dice.randrange(10**9), forged=True)
    own = Log.of([changed, *log.entries[: dice.randrange(20)]])
    proof = own.proof(0, own.tree.size, signer=MALLORY)
    if dice.random() < 0.5:
        (signature,) = proof.checkpoint.signatures
        claimed = Signature(ORIGIN, SIGNER.verifier_key.key_id, signature.value)
        proof = TlogProof(proof.index, proof.path, SignedNote(proof.checkpoint.text, (claimed,)))
    return str(proof), changed


def other_log(dice: random.Random, log: Log, case: Case) -> Case:
    """Return a proof with the same key for the log of another tenant."""
    stranger = Signer("threada.test/tn_other", key(1))
    index = dice.randrange(log.tree.size)
    return str(log.proof(index, log.tree.size, signer=stranger)), log.entries[index]


MUTATIONS: list[Mutation] = [
    bit_of_text, bit_of_receipt, character, line, other_hash, other_index, other_receipt, other_place, forged, other_log,
]  # fmt: skip


def accepted_by_the_verifier(text: str, receipt: bytes) -> bool:
    file = verifier()
    report = file.Report()
    try:
        file.check_proof(text, receipt, [THEIR_KEY], report)
    except (file.VerificationError, UnicodeEncodeError):
        return False
    return not report.number_of_findings


def accepted_here(text: str, receipt: bytes) -> bool:
    try:
        TlogProof.parse(text).verify(receipt, [KNOWN], origin=ORIGIN)
    except ValueError:
        return False
    return True


def cases(rounds: int, seed: int) -> tuple[int, list[tuple[str, str, bytes]], dict[str, int]]:
    """Return the number of mutated proofs, the accepted ones, and the number per mutation."""
    dice = random.Random(seed)
    log = log_of(1000)
    proofs: list[Case] = []
    for size in (1, 2, 3, 255, 256, 257, 640, 1000):
        for index in {0, size - 1, *(dice.randrange(size) for _ in range(4))}:
            case = (str(log.proof(index, size, signer=SIGNER)), log.entries[index])
            assert accepted_by_the_verifier(*case)
            assert accepted_here(*case)
            proofs.append(case)
    known = set(proofs)
    tried, accepted, made = 0, [], dict.fromkeys((mutation.__name__ for mutation in MUTATIONS), 0)
    while tried < rounds:
        case, mutation = dice.choice(proofs), dice.choice(MUTATIONS)
        text, receipt = mutation(dice, log, case)
        if (text, receipt) in known:
            continue  # nothing was changed
        tried += 1
        made[mutation.__name__] += 1
        if accepted_by_the_verifier(text, receipt) or accepted_here(text, receipt):
            accepted.append((mutation.__name__, text, receipt))
    return tried, accepted, made


def test_none_of_a_thousand_is_accepted() -> None:
    tried, accepted, made = cases(1000, seed=6962)
    assert (tried, accepted) == (1000, [])
    assert all(made.values())


@pytest.mark.slow
def test_none_of_many_is_accepted() -> None:
    seed = int(os.environ.get("THREADA_SEED", secrets.randbits(32)))
    print(f"\nTHREADA_SEED={seed} ({ROUNDS} proofs)")
    tried, accepted, made = cases(ROUNDS, seed)
    print(made)
    assert (tried, accepted) == (ROUNDS, [])


def test_no_mutated_consistency_proof_is_accepted() -> None:
    dice = random.Random(9162)
    log, file = log_of(300), verifier()
    roots = [log.root(size) for size in range(301)]
    for _ in range(3000):
        old = dice.randrange(1, 300)
        size = dice.randrange(old + 1, 301)
        proof = log.consistency(old, size)
        assert file.consistency_holds(old, roots[old], size, roots[size], proof)
        changed, then, now = list(proof), roots[old], roots[size]
        match dice.randrange(4):
            case 0:
                changed[dice.randrange(len(changed))] = dice.choice([dice.randbytes(32), dice.choice(roots)])
            case 1:
                del changed[dice.randrange(len(changed))]
            case 2:
                changed.insert(dice.randrange(len(changed) + 1), dice.randbytes(32))
            case _:
                then, now = dice.choice([(dice.choice(roots), now), (then, dice.choice(roots)), (now, then)])
        if (changed, then, now) == (proof, roots[old], roots[size]):
            continue
        assert not file.consistency_holds(old, then, size, now, changed)
        assert not consistency_holds(old, then, size, now, changed)
