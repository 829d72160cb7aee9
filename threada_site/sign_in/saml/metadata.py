"""Metadata of a SAML provider: from its document, or from its address, cached in each process."""

from __future__ import annotations

import threading
import time
import uuid
from typing import Final

from cachetools import TTLCache

from threada_site.identity.providers.documents import ProviderSpec
from threada_site.identity.providers.saml_metadata import SamlMetadata, read_metadata
from threada_site.kernel import clock, errors
from threada_site.sign_in.calls import get_text
from threada_site.sign_in.slots import provider_slot

_KEPT_S: Final = 300
_FAILURE_KEPT_S: Final = 10
_REFETCH_AFTER_S: Final = 30
_MOST: Final = 256
_lock = threading.Lock()
_found: TTLCache[str, tuple[float, SamlMetadata]] = TTLCache(_MOST, _KEPT_S)
_failures: TTLCache[str, errors.ThreadaError] = TTLCache(_MOST, _FAILURE_KEPT_S)


def metadata_of(spec: ProviderSpec, *, tenant_id: uuid.UUID) -> SamlMetadata:
    """Return the metadata, read from its address at most every five minutes; failures are kept for ten seconds.

    Raise `IdentityProviderUnavailable`, `SamlMetadataInvalid`, `SamlMetadataExpired`, `IssuerMismatch`.
    """
    address = spec.metadata_address
    if not address:
        return _valid(read_metadata(spec.metadata), spec)
    with _lock:
        known, failure = _found.get(address), _failures.get(address)
    if known is not None:
        return _valid(known[1], spec)
    if failure is not None:
        raise type(failure)(failure.detail)
    try:
        with provider_slot(tenant_id):
            found = _fetched(address)
    except (errors.IdentityProviderUnavailable, errors.SamlMetadataInvalid) as error:
        with _lock:
            _failures[address] = error
        raise
    with _lock:
        _found[address] = (time.monotonic(), found)
    return _valid(found, spec)


def newer_metadata(spec: ProviderSpec, than: SamlMetadata, *, tenant_id: uuid.UUID) -> SamlMetadata | None:
    """Return metadata with other keys, read again from its address if the last time is 30 seconds ago, or None."""
    address = spec.metadata_address
    with _lock:
        known = _found.get(address)
        if known is None or time.monotonic() - known[0] < _REFETCH_AFTER_S:
            return None
        del _found[address]
    found = metadata_of(spec, tenant_id=tenant_id)
    return found if found.certificates != than.certificates else None


def forget() -> None:
    """Empty the cache. For tests."""
    with _lock:
        _found.clear()
        _failures.clear()


def _fetched(address: str) -> SamlMetadata:
    try:
        return read_metadata(get_text(address, accept="application/samlmetadata+xml"))
    except ValueError as error:
        raise errors.SamlMetadataInvalid(f"The metadata of the identity provider cannot be used: {error}.") from None


def _valid(metadata: SamlMetadata, spec: ProviderSpec) -> SamlMetadata:
    if metadata.entity_id != spec.issuer:
        raise errors.IssuerMismatch(
            "The metadata has another entity id than the identity provider's document here. Ask a tenant administrator "
            "to compare them."
        )
    if metadata.valid_until is not None and metadata.valid_until <= clock.now():
        raise errors.SamlMetadataExpired
    return metadata
