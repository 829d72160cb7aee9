"""Endorsement of the public keys of receipts by the sealer: with the sealer's public key alone, the origin of receipts
can be verified.

The endorsement is a signed note (https://c2sp.org/signed-note) of `<instance>/receipt-keys`, with a line per public key
(`telemetry/receipts/signature.py`), retired ones included. Imports no Django.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from typing import Final

from telemetry.log.key_file import KeyFile
from telemetry.log.store import LogStore
from telemetry.receipts.signature import ReceiptKeys
from telemetry.tlog.note import SignedNote, Signer, VerifierKey, sign
from telemetry.tlog.texts import MalformedText
from threada_site.kernel import ids

RECEIPT_KEYS: Final = "receipt-keys"
_NEWEST: Final = "SELECT note, id FROM telemetry_receiptkeynote ORDER BY id DESC LIMIT 1"
_INSERT: Final = "INSERT INTO telemetry_receiptkeynote (id, note, signed_at) VALUES (%s, %s, %s)"


class ReceiptKeyEndorser:
    """Maintains a note in the database that endorses the public keys of receipts, signed by the current sealing
    keys."""

    def __init__(self, store: LogStore, *, key_file: KeyFile, read: Callable[[], ReceiptKeys]) -> None:
        """Create an endorser. `read` returns the public keys, and may raise `ReceiptKeyProblem`."""
        self._store = store
        self._key_file = key_file
        self._read = read
        self._done: tuple[object, ...] = ()

    def endorse_if_needed(self) -> bool:
        """Sign an endorsement if the newest one names other keys or is signed by others. Return True if one was
        signed. Raise `ReceiptKeyProblem`."""
        keys = self._key_file.keys()
        name = f"{keys[-1].name}/{RECEIPT_KEYS}"
        text = f"{name}\n{self._read()}"
        wanted = (text, {(name, key.verifier_key(name).key_id) for key in keys})
        if wanted == self._done:
            return False
        with self._store.platform_transaction():
            row = self._store.connection.execute(_NEWEST).fetchone()
            newest = SignedNote.parse(row[0]) if row else None
            signed = newest and (newest.text, {(one.name, one.key_id) for one in newest.signatures})
            is_new = signed != wanted
            if is_new:
                note = sign(text, [Signer(name, key.private_key) for key in keys])
                new_id = ids.new_uuid_after(row[1] if row else None)
                self._store.connection.execute(_INSERT, [new_id, str(note), datetime.now(UTC)])
        self._done = wanted
        return is_new


def endorsed_keys(note: str, sealing_keys: Iterable[bytes]) -> ReceiptKeys:
    """Return the public keys that a note endorses, if one of the given public keys of sealers signed it.

    Raise `MalformedText` and `UntrustedNote`.
    """
    signed = SignedNote.parse(note)
    name, _, words = signed.text.partition("\n")
    if name.rpartition("/")[2] != RECEIPT_KEYS:
        raise MalformedText(f"a note of {name} endorses no keys of receipts")
    signed.verified_by(VerifierKey(name, key) for key in sealing_keys)
    return ReceiptKeys.parse(words)
