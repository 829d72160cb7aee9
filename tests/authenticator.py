"""Authenticator in software: passkeys with real keys and signatures, and the browser's part of their answers."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from fido2.cose import ES256, CoseKey
from fido2.utils import websafe_decode, websafe_encode
from fido2.webauthn import AttestationObject, AttestedCredentialData, AuthenticatorData, CollectedClientData

FLAG = AuthenticatorData.FLAG
ORIGIN = "http://localhost:8000"


@dataclass
class Key:
    """Passkey in the authenticator."""

    rp_id: str
    user_handle: bytes
    credential_id: bytes = field(default_factory=lambda: secrets.token_bytes(32))
    private: ec.EllipticCurvePrivateKey = field(default_factory=lambda: ec.generate_private_key(ec.SECP256R1()))
    sign_count: int = 0

    @property
    def data(self) -> AttestedCredentialData:
        return AttestedCredentialData.create(bytes(16), self.credential_id, self.public)

    @property
    def public(self) -> CoseKey:
        return ES256.from_cryptography_key(self.private.public_key())


class Authenticator:
    """Authenticator and browser of one person. Arguments other than the options make an answer wrong in one respect.

    `counts`: it counts its signatures, as security keys do and synced passkeys do not.
    """

    def __init__(self, *, origin: str = ORIGIN, verifies: bool = True, counts: bool = True) -> None:
        self.origin = origin
        self.verifies = verifies
        self.counts = counts
        self.keys: list[Key] = []

    def create(self, options: Mapping[str, Any], **wrong: Any) -> dict[str, Any]:
        """Return the answer to the options of a registration, with a new passkey."""
        key = Key(options["rp"]["id"], websafe_decode(options["user"]["id"]))
        self.keys.append(key)
        client = self._client("webauthn.create", options, wrong)
        credential = wrong.get("credential", key.data)
        data = self._data(key, wrong, FLAG.AT if credential else FLAG(0), credential)
        attestation = AttestationObject.create("none", data, {})
        response = {"clientDataJSON": client.b64, "attestationObject": websafe_encode(attestation)}
        return _answer(wrong.get("raw_id", key.credential_id), {**response, "transports": ["internal", "hybrid"]})

    def get(self, options: Mapping[str, Any], *, key: Key | None = None, **wrong: Any) -> dict[str, Any]:
        """Return the answer to the options of a sign-in, by `key` or the first passkey that fits."""
        allowed = [websafe_decode(one["id"]) for one in options.get("allowCredentials", ())]
        fitting = [
            one
            for one in self.keys
            if one.rp_id == options["rpId"] and one.credential_id in (allowed or [one.credential_id])
        ]
        key = key or fitting[0]
        client = self._client("webauthn.get", options, wrong)
        data = self._data(key, wrong, FLAG(0), b"")
        signature = key.private.sign(bytes(data) + client.hash, ec.ECDSA(hashes.SHA256()))
        response = {
            "clientDataJSON": client.b64,
            "authenticatorData": websafe_encode(data),
            "signature": websafe_encode(wrong.get("signature", signature)),
        }
        handle = wrong.get("user_handle", key.user_handle)
        return _answer(key.credential_id, response | ({"userHandle": websafe_encode(handle)} if handle else {}))

    def _client(self, kind: str, options: Mapping[str, Any], wrong: Mapping[str, Any]) -> CollectedClientData:
        return CollectedClientData.create(
            wrong.get("type", kind),
            wrong.get("challenge", options["challenge"]),
            wrong.get("origin", self.origin),
            cross_origin=wrong.get("cross_origin", False),
        )

    def _data(self, key: Key, wrong: Mapping[str, Any], flags: FLAG, credential: bytes) -> AuthenticatorData:
        verified = FLAG.UV if wrong.get("verified", self.verifies) else FLAG(0)
        present = FLAG.UP if wrong.get("present", True) else FLAG(0)
        if self.counts:
            key.sign_count += 1
        count = wrong.get("sign_count", key.sign_count)
        digest = hashlib.sha256(wrong.get("rp_id", key.rp_id).encode()).digest()
        return AuthenticatorData.create(digest, flags | verified | present, count, credential)


def _answer(credential_id: bytes, response: dict[str, Any]) -> dict[str, Any]:
    name = websafe_encode(credential_id)
    return {"id": name, "rawId": name, "type": "public-key", "response": response, "clientExtensionResults": {}}
