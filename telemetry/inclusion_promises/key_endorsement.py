"""Endorsement of the inclusion promise key by the sealer: with the sealer's public key alone, promises can be
verified.

Imports no Django.
"""

from __future__ import annotations

import uuid
from datetime import UTC, datetime
from typing import Any, Final

import psycopg
import uuid_utils.compat

from telemetry.inclusion_promises.statement import PROMISE_KEY, endorsement_text
from telemetry.log.key_file import KeyFile, SigningKey
from telemetry.log.store import LogStore
from telemetry.tlog.note import SignedNote, Signer, sign

_NEWEST: Final = "SELECT note FROM telemetry_inclusionpromisekey WHERE public_key = %s ORDER BY id DESC LIMIT 1"
_INSERT_ENDORSEMENT: Final = (
    "INSERT INTO telemetry_inclusionpromisekey (id, public_key, note, signed_at) VALUES (%s, %s, %s, %s)"
)


class KeyEndorser:
    """Maintains a note in the database that endorses the promise key, signed by the current sealing keys."""

    def __init__(self, store: LogStore, *, key_file: KeyFile, promise_key: bytes) -> None:
        self._store = store
        self._key_file = key_file
        self._promise_key = promise_key
        self._done: list[str] = []

    def endorse_if_needed(self) -> bool:
        """Sign an endorsement if the newest one is missing or signed by other keys. Return True if one was signed."""
        keys = self._key_file.keys()
        signers = [str(key.verifier_key(f"{key.name}/{PROMISE_KEY}")) for key in keys]
        if signers == self._done:
            return False
        with self._store.platform_transaction():
            is_new = not self._is_signed(self._store.connection, keys)
            if is_new:
                name = keys[-1].name
                text = endorsement_text(name, self._promise_key)
                note = sign(text, [Signer(f"{name}/{PROMISE_KEY}", key.private_key) for key in keys])
                self._store.connection.execute(
                    _INSERT_ENDORSEMENT, [_new_id(), self._promise_key, str(note), datetime.now(UTC)]
                )
        self._done = signers
        return is_new

    def _is_signed(self, connection: psycopg.Connection[Any], keys: tuple[SigningKey, ...]) -> bool:
        row = connection.execute(_NEWEST, [self._promise_key]).fetchone()
        if row is None:
            return False
        name = f"{keys[-1].name}/{PROMISE_KEY}"
        signed = {(signature.name, signature.key_id) for signature in SignedNote.parse(row[0]).signatures}
        return signed == {(name, key.verifier_key(name).key_id) for key in keys}


def _new_id() -> uuid.UUID:
    return uuid_utils.compat.uuid7()
