"""Discovery documents and signing keys of identity providers, cached in each process."""

from __future__ import annotations

import threading
import time
import uuid
from dataclasses import dataclass
from typing import Any, Final, TypeGuard

from cachetools import TTLCache
from joserfc.errors import JoseError
from joserfc.jwk import KeySet

from integrations.attempts.failures import TransportFailure
from integrations.secrets.access import require_confidential
from integrations.transport import UnusableUrl, read_url
from threada_site.identity.trusted_issuers.keys import MOST_KEYS, is_usable
from threada_site.kernel import errors
from threada_site.sign_in.calls import get_json
from threada_site.sign_in.slots import provider_slot

_KEPT_S: Final = 300
_FAILURE_KEPT_S: Final = 10
_REFETCH_AFTER_S: Final = 30
_MOST: Final = 256
_LONGEST_ADDRESS: Final = 2000
_lock = threading.Lock()
_documents: TTLCache[str, Metadata] = TTLCache(_MOST, _KEPT_S)
_keys: TTLCache[str, tuple[float, KeySet]] = TTLCache(_MOST, _KEPT_S)
_failures: TTLCache[str, str] = TTLCache(_MOST, _FAILURE_KEPT_S)


@dataclass(frozen=True, slots=True)
class Metadata:
    """Parts of a discovery document. `sends_issuer`: answers contain `iss` (RFC 9207)."""

    issuer: str
    authorization_endpoint: str
    token_endpoint: str
    jwks_uri: str
    userinfo_endpoint: str
    sends_issuer: bool
    client_authentication: tuple[str, ...]


def metadata_of(issuer: str, *, tenant_id: uuid.UUID) -> Metadata:
    """Return the discovery document of `issuer`. Raise `IdentityProviderUnavailable`, `IssuerMismatch`.

    A failure is remembered for ten seconds.
    """
    with _lock:
        known, failure = _documents.get(issuer), _failures.get(issuer)
    if known is not None:
        return known
    if failure is not None:
        raise errors.IdentityProviderUnavailable(failure)
    try:
        with provider_slot(tenant_id):
            found = _read(issuer, get_json(f"{issuer.rstrip('/')}/.well-known/openid-configuration"))
    except errors.IdentityProviderUnavailable as error:
        with _lock:
            _failures[issuer] = error.detail
        raise
    with _lock:
        _documents[issuer] = found
    return found


def keys_of(metadata: Metadata, key_id: str | None) -> KeySet:
    """Return the signing keys, read again if `key_id` is not among them, at most every 30 seconds.

    Symmetric, short and unknown keys are left out. Raise `IdentityProviderUnavailable`.
    """
    with _lock:
        known = _keys.get(metadata.jwks_uri)
    now = time.monotonic()
    if known is not None:
        read_at, keys = known
        if key_id is None or any(key.kid == key_id for key in keys) or now - read_at < _REFETCH_AFTER_S:
            return keys
    listed = get_json(metadata.jwks_uri).get("keys")
    usable = [
        key
        for key in (listed if isinstance(listed, list) else [])[:MOST_KEYS]
        if isinstance(key, dict) and is_usable(key)
    ]
    try:
        found = KeySet.import_key_set({"keys": usable})
    except (JoseError, ValueError):
        raise errors.IdentityProviderUnavailable("The identity provider publishes no usable signing key.") from None
    with _lock:
        _keys[metadata.jwks_uri] = (now, found)
    return found


def forget() -> None:
    """Empty the caches. For tests."""
    with _lock:
        _documents.clear()
        _keys.clear()
        _failures.clear()


def _read(issuer: str, document: dict[str, Any]) -> Metadata:
    if document.get("issuer") != issuer:
        raise errors.IssuerMismatch(
            "The discovery document names another issuer than the identity provider's document here. Ask a tenant "
            "administrator to compare them."
        )
    endpoints: dict[str, str] = {}
    for name in ("authorization_endpoint", "token_endpoint", "jwks_uri"):
        address = document.get(name)
        if not _is_usable(address):
            raise errors.IdentityProviderUnavailable(
                f"The identity provider's discovery document has no usable {name}."
            )
        endpoints[name] = address
    userinfo = document.get("userinfo_endpoint")
    methods = document.get("token_endpoint_auth_methods_supported")
    return Metadata(
        issuer=issuer,
        userinfo_endpoint=userinfo if _is_usable(userinfo) else "",
        sends_issuer=document.get("authorization_response_iss_parameter_supported") is True,
        client_authentication=tuple(map(str, methods)) if isinstance(methods, list) else ("client_secret_basic",),
        **endpoints,
    )


def _is_usable(address: Any) -> TypeGuard[str]:
    """Return True for an address to which codes, tokens and secrets may be sent. People are redirected there too."""
    if not isinstance(address, str) or len(address) > _LONGEST_ADDRESS:
        return False
    try:
        read_url(address)
        require_confidential(address)
    except (UnusableUrl, TransportFailure):
        return False
    return True
