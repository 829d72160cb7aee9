"""Notes, checkpoints and proof texts: examples of the specifications, an independent implementation, malformed
input."""

from __future__ import annotations

import base64

import aics_tlog
import pytest

from telemetry.tlog.checkpoint import Checkpoint, log_origin, open_checkpoint
from telemetry.tlog.hashing import EMPTY_ROOT
from telemetry.tlog.note import SignedNote, Signer, UntrustedNote, VerifierKey, sign
from telemetry.tlog.proof_text import ProofDoesNotHold, TlogProof
from telemetry.tlog.texts import MalformedText
from tests.telemetry.tlog.logs import ORIGIN, Log, key

# https://c2sp.org/signed-note, "Example"
SPEC_KEY = "example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k"
SPEC_NOTE = """\
This is an example message.

— example.com/foo Uw2QOkn8srV1yJGh2VYRlL1Tnagv1YEq6TfXppzi2ONncAlTgK7Ztg1ERYNZXsYjOBH3mFXmRKuwHjG1Yu72IneyaQM=
"""
# https://c2sp.org/tlog-checkpoint
SPEC_CHECKPOINT = """\
example.com/behind-the-sofa
20852163
CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=

— example.com/behind-the-sofa Az3grlgtzPICa5OS8npVmf1Myq/5IZniMp+ZJurmRDeOoRDe4URYN7u5/Zhcyv2q1gGzGku9nTo+zyWE+xeMcTOAYQ8=
"""


@pytest.fixture
def signer() -> Signer:
    return Signer(ORIGIN, key())


@pytest.fixture
def log() -> Log:
    return Log.of([b'{"n":%d}' % number for number in range(11)])


def test_the_specification_examples() -> None:
    known = VerifierKey.parse(SPEC_KEY)
    note = SignedNote.parse(SPEC_NOTE)
    assert str(known) == SPEC_KEY
    assert str(note) == SPEC_NOTE
    assert note.verified_by([known]) == (known,)
    checkpoint = Checkpoint.parse(SignedNote.parse(SPEC_CHECKPOINT).text)
    assert (checkpoint.origin, checkpoint.size) == ("example.com/behind-the-sofa", 20852163)
    assert checkpoint.text() == SignedNote.parse(SPEC_CHECKPOINT).text


def test_the_other_implementation_takes_our_notes_and_keys(signer: Signer, log: Log) -> None:
    note = str(log.checkpoint().sign([signer]))
    vkey = aics_tlog.parse_vkey(str(signer.verifier_key))
    theirs = aics_tlog.parse_note(note)
    assert aics_tlog.verify_note(theirs, [vkey])
    assert theirs.serialise() == note
    tree_head = aics_tlog.parse_checkpoint(theirs.text)
    assert (tree_head.origin, tree_head.size, tree_head.root) == (ORIGIN, 11, log.root(11))
    assert aics_tlog.format_vkey(vkey) == str(signer.verifier_key)


def test_we_take_the_other_implementations_notes(log: Log) -> None:
    tree_head = aics_tlog.Checkpoint(origin=ORIGIN, size=11, root=log.root(11))
    note = aics_tlog.sign_checkpoint(tree_head, key(), ORIGIN).serialise()
    vkey = aics_tlog.format_vkey(aics_tlog.vkey_from_ed25519(ORIGIN, key().public_key()))
    assert open_checkpoint(note, [VerifierKey.parse(vkey)], origin=ORIGIN) == log.checkpoint()


def test_a_proof_verifies_here_and_there(signer: Signer, log: Log) -> None:
    text = str(log.proof(4, 11, signer=signer))
    proof = TlogProof.parse(text.encode())
    assert str(proof) == text
    assert proof.verify(log.entries[4], [signer.verifier_key], origin=ORIGIN) == log.checkpoint()
    # parsed here according to the specification, verified by the other implementation
    tree_head, _, note = text.partition("\n\n")
    first, index, *path = tree_head.split("\n")
    assert (first, index) == ("c2sp.org/tlog-proof@v1", "index 4")
    theirs = aics_tlog.parse_checkpoint(aics_tlog.parse_note(note).text)
    assert aics_tlog.verify_leaf_inclusion(
        log.entries[4], 4, theirs.size, [base64.b64decode(line) for line in path], theirs.root
    )


def test_extra_data_is_carried(signer: Signer, log: Log) -> None:
    plain = log.proof(0, 1, signer=signer)
    text = str(TlogProof(plain.index, plain.path, plain.checkpoint, extra=b"\xff\0 more"))
    assert text.split("\n")[1] == "extra /wAgbW9yZQ=="
    assert TlogProof.parse(text).extra == b"\xff\0 more"


def test_a_proof_of_something_else_is_refused(signer: Signer, log: Log) -> None:
    proof = log.proof(4, 11, signer=signer)
    with pytest.raises(ProofDoesNotHold, match="the entry is not leaf 4 of the log of 11 leaves"):
        proof.verify(log.entries[5], [signer.verifier_key], origin=ORIGIN)
    with pytest.raises(MalformedText, match=r"of threada\.test/.*, not of other\.test/x"):
        proof.verify(log.entries[4], [signer.verifier_key], origin="other.test/x")
    with pytest.raises(UntrustedNote, match="no key that is known"):
        proof.verify(log.entries[4], [Signer(ORIGIN, key(2)).verifier_key], origin=ORIGIN)


def test_two_keys_sign_during_a_change_of_keys(log: Log) -> None:
    old, new = Signer(ORIGIN, key(1)), Signer(ORIGIN, key(2))
    note = SignedNote.parse(str(log.checkpoint().sign([old, new])))
    assert note.verified_by([old.verifier_key]) == (old.verifier_key,)
    assert note.verified_by([new.verifier_key]) == (new.verifier_key,)
    assert note.verified_by([old.verifier_key, new.verifier_key]) == (old.verifier_key, new.verifier_key)


def test_a_wrong_signature_of_a_known_key_refuses_the_note_whatever_others_say(log: Log) -> None:
    old, new = Signer(ORIGIN, key(1)), Signer(ORIGIN, key(2))
    wrong = old.sign("another text\n")
    note = SignedNote(log.checkpoint().text(), (new.sign(log.checkpoint().text()), wrong))
    with pytest.raises(UntrustedNote, match="does not verify"):
        note.verified_by([old.verifier_key, new.verifier_key])
    assert note.verified_by([new.verifier_key]) == (new.verifier_key,)


def test_a_note_that_a_key_signed_twice_is_refused(signer: Signer, log: Log) -> None:
    note = log.checkpoint().sign([signer, signer])
    with pytest.raises(UntrustedNote, match="signed twice"):
        note.verified_by([signer.verifier_key])


def test_sixteen_unknown_signatures_are_ignored(signer: Signer, log: Log) -> None:
    others = [Signer(f"witness{number}.test", key(number + 10)) for number in range(16)]
    note = SignedNote.parse(str(log.checkpoint().sign([*others, signer])))
    assert note.verified_by([signer.verifier_key]) == (signer.verifier_key,)


NOTE_LINE = "— a AAAAAAA="
TREE_HEAD = f"o\n1\n{base64.b64encode(EMPTY_ROOT).decode()}\n"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "text\n",
        "text\n\n",
        f"text\n\n{NOTE_LINE}",
        f"text\n{NOTE_LINE}\n",
        f"te\rxt\n\n{NOTE_LINE}\n",
        f"te\0xt\n\n{NOTE_LINE}\n",
        f"text\n\n{NOTE_LINE}\nmore\n",
        "text\n\n- a AAAAAAA=\n",
        "text\n\n— a\n",
        "text\n\n— a b AAAAAAA=\n",
        "text\n\n— a+b AAAAAAA=\n",
        "text\n\n— a\u2003b AAAAAAA=\n",
        "text\n\n—  AAAAAAA=\n",
        "text\n\n— a AAAA\n",
        "text\n\n— a AAAAAAB=\n",
        "text\n\n— a AAAAAAA\n",
        "text\n\n— a !AAAAAAA=\n",
        b"te\xffxt\n\n\xe2\x80\x94 a AAAAAAA=\n",
        "text\n\n" + f"{NOTE_LINE}\n" * 101,
        "x" * 1_000_001,
    ],
)
def test_malformed_notes(text: str | bytes) -> None:
    with pytest.raises(MalformedText):
        SignedNote.parse(text)


def test_the_last_empty_line_parts_text_and_signatures() -> None:
    note = SignedNote.parse(f"one\n\ntwo\n\n{NOTE_LINE}\n")
    assert note.text == "one\n\ntwo\n"
    assert str(note) == f"one\n\ntwo\n\n{NOTE_LINE}\n"


@pytest.mark.parametrize(
    "text",
    [
        "o\n1\n",
        TREE_HEAD.removesuffix("\n"),
        TREE_HEAD.replace("\n1\n", "\n01\n"),
        TREE_HEAD.replace("\n1\n", "\n-1\n"),
        TREE_HEAD.replace("\n1\n", "\n+1\n"),
        TREE_HEAD.replace("\n1\n", "\n1 \n"),
        TREE_HEAD.replace("\n1\n", "\n\u0661\n"),
        TREE_HEAD.replace("\n1\n", "\n\n"),
        TREE_HEAD.replace("\n1\n", "\n99999999999999999999\n"),
        "o\n1\nAAAA\n",
        "\n" + TREE_HEAD,
        TREE_HEAD + "\n",
        TREE_HEAD.replace("=", ""),
    ],
)
def test_malformed_checkpoints(text: str) -> None:
    with pytest.raises(MalformedText):
        Checkpoint.parse(text)


def test_extension_lines_are_kept(signer: Signer) -> None:
    checkpoint = Checkpoint.parse(f"{TREE_HEAD}more of it\n")
    assert checkpoint.extensions == ("more of it",)
    assert checkpoint.text() == f"{TREE_HEAD}more of it\n"


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("c2sp.org/tlog-proof@v1", "c2sp.org/tlog-proof@v2"),
        ("index 4", "index 04"),
        ("index 4", "index"),
        ("index 4", "Index 4"),
        ("index 4\n", ""),
        ("index 4", "extra !!\nindex 4"),
        ("index 4", "index 4\nAAAA"),
        ("index 4", "index 4\n" + base64.b64encode(bytes(32)).decode() * 2),
        ("\n\n", "\n"),
        ("c2sp.org", " c2sp.org"),
    ],
)
def test_malformed_proofs(signer: Signer, log: Log, old: str, new: str) -> None:
    text = str(log.proof(4, 11, signer=signer))
    with pytest.raises(MalformedText):
        TlogProof.parse(text.replace(old, new))


@pytest.mark.parametrize(
    "text",
    [
        "name",
        "name+530d903a",
        SPEC_KEY.replace("530d903a", "530d903b"),
        SPEC_KEY.replace("530d903a", "530D903A"),
        SPEC_KEY.replace("example", "examp le"),
        SPEC_KEY.replace("+Ae", "+Be"),
        SPEC_KEY + "=",
        "+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k",
    ],
)
def test_malformed_verifier_keys(text: str) -> None:
    with pytest.raises(MalformedText):
        VerifierKey.parse(text)


def test_only_texts_that_can_be_read_again_are_signed(signer: Signer) -> None:
    for text in ("no newline", "control\x07\n"):
        with pytest.raises(MalformedText):
            sign(text, [signer])
    with pytest.raises(ValueError, match="needs a signer"):
        sign("text\n", [])
    with pytest.raises(MalformedText):
        Signer("two words", key())
    with pytest.raises(MalformedText):
        log_origin("two words", "tn_x")
    assert log_origin("threada.test", "tn_x") == "threada.test/tn_x"
