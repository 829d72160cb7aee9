"""Verification of the answers of passkeys, and the options that ask for them.

Signatures and encodings are checked by fido2. It raises `ValueError` for every fault, and leaves out frames of other
sites, algorithms that were not offered, and counters; so the faults that have a reason code are checked here.
https://www.w3.org/TR/webauthn-3/#sctn-rp-operations
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from cryptography.exceptions import UnsupportedAlgorithm
from fido2.cose import ES256, ES384, RS256, CoseKey, EdDSA
from fido2.server import Fido2Server
from fido2.utils import websafe_decode
from fido2.webauthn import (
    AttestedCredentialData,
    AuthenticationResponse,
    AuthenticatorData,
    CollectedClientData,
    PublicKeyCredentialDescriptor,
    PublicKeyCredentialParameters,
    PublicKeyCredentialRpEntity,
    PublicKeyCredentialType,
    PublicKeyCredentialUserEntity,
    RegistrationResponse,
    ResidentKeyRequirement,
    UserVerificationRequirement,
)

from threada_site.identity.factors.passkeys.answers import (
    MOST_ID_BYTES,
    assertion_fields,
    registration_fields,
    transports_of,
)
from threada_site.identity.factors.passkeys.ceremonies import LIFETIME, Ceremony
from threada_site.identity.factors.passkeys.relying_party import NAME
from threada_site.kernel import errors

ALGORITHMS: Final[tuple[int, ...]] = (ES256.ALGORITHM, EdDSA.ALGORITHM, ES384.ALGORITHM, RS256.ALGORITHM)
MOST_KEY_BYTES: Final = 2048
_FAULTS: Final = (
    ValueError, LookupError, TypeError, AttributeError, OverflowError, NotImplementedError, RecursionError,
    UnsupportedAlgorithm, struct.error,
)  # fmt: skip
"""What fido2 raises for answers that are not valid."""
_REQUIRED: Final = UserVerificationRequirement.REQUIRED


@dataclass(frozen=True, slots=True)
class StoredPasskey:
    """Passkey as it is stored: `data` contains its model, id and public key (attested credential data)."""

    data: bytes
    sign_count: int
    user_handle: bytes
    transports: tuple[str, ...] = ()

    @property
    def descriptor(self) -> PublicKeyCredentialDescriptor:
        """Return what a browser finds the passkey by."""
        return PublicKeyCredentialDescriptor(
            type=PublicKeyCredentialType.PUBLIC_KEY,
            id=AttestedCredentialData(self.data).credential_id,
            transports=list(self.transports) or None,  # type: ignore[arg-type]
        )


@dataclass(frozen=True, slots=True)
class NewPasskey:
    """Passkey that a verified registration describes."""

    credential_id: bytes
    data: bytes
    sign_count: int
    transports: tuple[str, ...]
    is_synced: bool


@dataclass(frozen=True, slots=True)
class Assertion:
    """Verified use of a passkey."""

    sign_count: int
    is_user_verified: bool
    is_synced: bool


def registration_options(
    ceremony: Ceremony, *, name: str, display_name: str, known: Sequence[StoredPasskey]
) -> dict[str, Any]:
    """Return the options of `navigator.credentials.create`, as JSON. `known`: passkeys that the person has already."""
    user = PublicKeyCredentialUserEntity(
        id=websafe_decode(ceremony.user_handle), name=name, display_name=display_name or name
    )
    options, _ = _server(ceremony).register_begin(
        user,
        credentials=[one.descriptor for one in known] or None,
        resident_key_requirement=ResidentKeyRequirement.REQUIRED,
        user_verification=_REQUIRED,
        challenge=websafe_decode(ceremony.challenge),
    )
    return dict(options.public_key)


def assertion_options(ceremony: Ceremony, *, known: Sequence[StoredPasskey] = (), must_verify: bool) -> dict[str, Any]:
    """Return the options of `navigator.credentials.get`, as JSON. Without `known`, the browser offers what it has."""
    options, _ = _server(ceremony).authenticate_begin(
        credentials=[one.descriptor for one in known] or None,
        user_verification=_REQUIRED if must_verify else UserVerificationRequirement.PREFERRED,
        challenge=websafe_decode(ceremony.challenge),
    )
    return dict(options.public_key)


def verify_registration(ceremony: Ceremony, answer: Mapping[str, Any]) -> NewPasskey:
    """Return the passkey of a registration.

    Raise `PasskeyInvalid`, `PasskeyChallengeInvalid`, `PasskeyOriginRefused` and `PasskeyUserNotVerified`.
    """
    try:
        given = RegistrationResponse.from_dict(registration_fields(answer))
        data = given.response.attestation_object.auth_data
        _check(ceremony, given.response.client_data, data, kind=CollectedClientData.TYPE.CREATE, must_verify=True)
        credential = data.credential_data
        if credential is None or given.raw_id != credential.credential_id:
            raise errors.PasskeyInvalid
        _server(ceremony).register_complete(_state(ceremony, must_verify=True), given)
        _check_key(credential)
    except _FAULTS:
        raise errors.PasskeyInvalid from None
    return NewPasskey(
        credential_id=credential.credential_id,
        data=bytes(credential),
        sign_count=data.counter,
        transports=transports_of(answer),
        is_synced=data.is_backup_eligible(),
    )


def verify_assertion(
    ceremony: Ceremony, answer: Mapping[str, Any], passkey: StoredPasskey, *, must_verify: bool, must_name_user: bool
) -> Assertion:
    """Return the use of `passkey`. `must_verify`: it checked the user. `must_name_user`: it found the account itself.

    Raise `PasskeyInvalid`, `PasskeyChallengeInvalid`, `PasskeyOriginRefused`, `PasskeyUserNotVerified`,
    `PasskeyUnknown` for the user handle of another account, and `PasskeyCloned` if the counter of signatures is not
    above the stored one.
    """
    try:
        given = AuthenticationResponse.from_dict(assertion_fields(answer))
        data, handle = given.response.authenticator_data, given.response.user_handle
        _check(ceremony, given.response.client_data, data, kind=CollectedClientData.TYPE.GET, must_verify=must_verify)
        state = _state(ceremony, must_verify=must_verify)
        _server(ceremony).authenticate_complete(state, [AttestedCredentialData(passkey.data)], given)
    except _FAULTS:
        raise errors.PasskeyInvalid from None
    if (handle or must_name_user) and handle != passkey.user_handle:
        raise errors.PasskeyUnknown
    if (data.counter or passkey.sign_count) and data.counter <= passkey.sign_count:
        raise errors.PasskeyCloned
    return Assertion(
        sign_count=data.counter, is_user_verified=data.is_user_verified(), is_synced=data.is_backup_eligible()
    )


def _check(
    ceremony: Ceremony, client: CollectedClientData, data: AuthenticatorData, *, kind: str, must_verify: bool
) -> None:
    if client.type != kind or client.challenge != websafe_decode(ceremony.challenge):
        raise errors.PasskeyChallengeInvalid
    if client.origin != ceremony.origin or client.cross_origin is not False:
        raise errors.PasskeyOriginRefused
    if data.rp_id_hash != hashlib.sha256(ceremony.rp_id.encode()).digest():
        raise errors.PasskeyOriginRefused
    if must_verify and not data.is_user_verified():
        raise errors.PasskeyUserNotVerified


def _check_key(credential: AttestedCredentialData) -> None:
    """Refuse ids and keys that are too long, and algorithms that were not offered. SHA-1 is one that fido2 knows."""
    key: CoseKey = credential.public_key
    if key.ALGORITHM not in ALGORITHMS or len(bytes(credential)) > MOST_KEY_BYTES:
        raise errors.PasskeyInvalid
    if not 0 < len(credential.credential_id) <= MOST_ID_BYTES:
        raise errors.PasskeyInvalid


def _server(ceremony: Ceremony) -> Fido2Server:
    server = Fido2Server(
        PublicKeyCredentialRpEntity(name=NAME, id=ceremony.rp_id),
        verify_origin=lambda origin: origin == ceremony.origin,
    )
    server.allowed_algorithms = [
        PublicKeyCredentialParameters(type=PublicKeyCredentialType.PUBLIC_KEY, alg=one) for one in ALGORITHMS
    ]
    server.timeout = int(LIFETIME.total_seconds() * 1000)  # type: ignore[assignment]
    return server


def _state(ceremony: Ceremony, *, must_verify: bool) -> dict[str, Any]:
    return {"challenge": ceremony.challenge, "user_verification": _REQUIRED if must_verify else None}
