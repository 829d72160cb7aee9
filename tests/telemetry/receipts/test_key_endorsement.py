"""The sealer endorses the public keys of receipts."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from telemetry.log.key_file import SigningKey
from telemetry.models import ReceiptKeyNote
from telemetry.receipts.key_endorsement import endorsed_keys
from telemetry.receipts.keyring import ReceiptKeyring
from telemetry.tlog.note import SignedNote, UntrustedNote
from telemetry.tlog.texts import MalformedText
from tests.telemetry.sealed import SealingSetup
from threada_site.kernel import clock
from threada_site.kernel.keyring import ReceiptKeyProblem

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def sealing_setup(tmp_path: Path) -> SealingSetup:
    return SealingSetup(tmp_path / "sealing")


@pytest.fixture
def keyring(tmp_path: Path) -> ReceiptKeyring:
    return ReceiptKeyring(tmp_path / "keys")


def notes() -> list[str]:
    return list(ReceiptKeyNote.objects.order_by("id").values_list("note", flat=True))


def public(setup: SealingSetup) -> list[bytes]:
    return [key.verifier_key(key.name).public_key for key in setup.key_file.keys()]  # noqa: SIM118


def test_keys_are_endorsed_once(sealing_setup: SealingSetup, keyring: ReceiptKeyring) -> None:
    for _ in range(2):
        sealing_setup.seal(receipt_keys=keyring.public)
    [note] = notes()
    assert note.splitlines()[0] == "log.example.org/receipt-keys"
    assert str(endorsed_keys(note, public(sealing_setup))) == str(keyring.public())
    assert sealing_setup.said.events.count("receipt_keys_endorsed") == 1


def test_rotated_keys_are_endorsed_with_the_end_of_those_before(
    sealing_setup: SealingSetup, keyring: ReceiptKeyring
) -> None:
    sealing_setup.seal(receipt_keys=keyring.public)
    keyring.rotate(now=clock.now())
    sealing_setup.seal(receipt_keys=keyring.public)
    found = endorsed_keys(notes()[1], public(sealing_setup))
    assert [key.until is None for key in found] == [True] * 3 + [False] * 3


def test_new_sealing_key_endorses_again(sealing_setup: SealingSetup, keyring: ReceiptKeyring) -> None:
    for change in (lambda: None, sealing_setup.key_file.begin_rotation, sealing_setup.key_file.finish_rotation):
        change()
        sealing_setup.seal(receipt_keys=keyring.public)
    assert [len(SignedNote.parse(note).signatures) for note in notes()] == [1, 2, 1]
    assert str(endorsed_keys(notes()[-1], public(sealing_setup))) == str(keyring.public())


def test_keys_that_cannot_be_read_do_not_stop_sealing(sealing_setup: SealingSetup) -> None:
    def fail() -> None:
        raise ReceiptKeyProblem("gone")

    sealing_setup.seal(receipt_keys=fail)
    assert sealing_setup.said.lines == [("error", "receipt_keys_unusable", {"detail": "gone"})]
    assert notes() == []


@pytest.mark.parametrize(
    ("change", "error"),
    [
        (lambda note: note.replace("web+", "wob+", 1), UntrustedNote),
        (lambda note: note.replace("/receipt-keys", "/promise-key"), MalformedText),
        (lambda note: note.partition("\n\n")[0], MalformedText),
    ],
    ids=["changed", "kind", "unsigned"],
)
def test_other_notes_endorse_nothing(
    sealing_setup: SealingSetup, keyring: ReceiptKeyring, change: Callable[[str], str], error: type[Exception]
) -> None:
    sealing_setup.seal(receipt_keys=keyring.public)
    with pytest.raises(error):
        endorsed_keys(change(notes()[0]), public(sealing_setup))
    stranger = SigningKey.new("log.example.org").verifier_key("log.example.org").public_key
    with pytest.raises(UntrustedNote):
        endorsed_keys(notes()[0], [stranger])


def test_sealer_makes_no_keys(tmp_path: Path) -> None:
    with pytest.raises(ReceiptKeyProblem, match="THREADA_RECEIPT_PUBLIC_KEYS"):
        ReceiptKeyring(tmp_path / "keys", makes=False).public()
    assert not (tmp_path / "keys").exists()
