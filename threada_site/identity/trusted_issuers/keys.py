"""Public keys of trusted issuers. Imports no Django. The only package that verifies tokens of others: joserfc."""

from __future__ import annotations

import secrets
from base64 import urlsafe_b64encode
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, Final

import orjson
from joserfc import jws
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, Key, OKPKey, RSAKey

from threada_site.kernel.tokens import MOST_OF_JWT

MOST_KEYS: Final = 50
MOST_OF_KID: Final = 200
_RSA_BITS: Final = range(2048, 8192 + 1)
_RSA_EXPONENTS: Final = range(65537, 2**32, 2)
"""Larger keys and exponents make a verification slow; smaller exponents are not accepted by FIPS 186-5."""
_KINDS: Final[dict[str, type[RSAKey | ECKey | OKPKey]]] = {"RSA": RSAKey, "EC": ECKey, "OKP": OKPKey}
_PARAMETERS: Final = frozenset({"kty", "n", "e", "crv", "x", "y"})
_KEPT: Final = _PARAMETERS | {"kid", "alg"}
_FAMILIES: Final = {"RS": "RSA", "PS": "RSA", "ES": "EC", "Ed": "OKP"}
_CURVES: Final = {"ES256": "P-256", "ES384": "P-384", "ES512": "P-521"}


class _Registry(jws.JWSRegistry):
    """Header rules of joserfc. Issuers send `x5t` and private header fields; nothing in them is used."""

    max_header_length = 4096
    max_payload_length = MOST_OF_JWT


def public_keys(key_set: Any) -> dict[str, Mapping[str, Any]]:
    """Return the usable public keys of a key set (RFC 7517) by `kid`.

    Left out are symmetric and private keys, RSA keys of unusual size or exponent, keys that are not for verification,
    keys without `kid`, and those whose `kid` occurs twice. Other members, as certificates, are dropped.
    """
    listed = key_set.get("keys") if isinstance(key_set, Mapping) else None
    found: dict[str, Mapping[str, Any]] = {}
    twice: set[str] = set()
    for value in (listed if isinstance(listed, list) else [])[:MOST_KEYS]:
        kid = value.get("kid") if isinstance(value, Mapping) else None
        if not isinstance(kid, str) or not 0 < len(kid) <= MOST_OF_KID or not is_usable(value):
            continue
        twice |= {kid} & found.keys()
        found[kid] = {name: value[name] for name in value if name in _KEPT}
    return {kid: value for kid, value in found.items() if kid not in twice}


def is_signed(token: str, key: Mapping[str, Any] | None, algorithm: str) -> bool:
    """Return True if `key` signed the token with `algorithm`.

    Without a key, or with one of another type, verify with a key that signed nothing, so that the answer takes as long.
    """
    fits = key is not None and key.get("kty") == _FAMILIES.get(algorithm[:2]) and _fits(key, algorithm)
    imported = _imported(orjson.dumps(key, option=orjson.OPT_SORT_KEYS)) if fits else _decoy(algorithm)
    try:
        jws.deserialize_compact(token, imported, registry=_Registry(algorithms=[algorithm], strict_check_header=False))
    except (JoseError, ValueError, TypeError):
        return False
    return fits


def _fits(key: Mapping[str, Any], algorithm: str) -> bool:
    wanted = _CURVES.get(algorithm)
    return key.get("alg", algorithm) == algorithm and (wanted is None or key.get("crv") == wanted)


def is_usable(value: Mapping[str, Any]) -> bool:
    """Return True for a public key for signatures that is long enough, on a known curve."""
    kind = _KINDS.get(str(value.get("kty")))
    operations = value.get("key_ops", ["verify"])
    if kind is None or "d" in value or value.get("use", "sig") != "sig":
        return False
    if not isinstance(operations, list) or "verify" not in operations:
        return False
    try:
        key = kind.import_key(dict(value))
    except (JoseError, ValueError, TypeError, KeyError):
        return False
    if isinstance(key, RSAKey):
        return key.public_key.key_size in _RSA_BITS and key.public_key.public_numbers().e in _RSA_EXPONENTS
    return value.get("crv") in ("P-256", "P-384", "P-521", "Ed25519")


@lru_cache(maxsize=512)
def _imported(key: bytes) -> Key:
    value = orjson.loads(key)
    return _KINDS[value["kty"]].import_key({name: value[name] for name in value if name in _PARAMETERS})


@lru_cache(maxsize=16)
def _decoy(algorithm: str) -> Key:
    """Return a public key whose private key nobody has."""
    if _FAMILIES.get(algorithm[:2]) == "RSA":
        modulus = secrets.randbits(2048) | 1 << 2047 | 1
        return RSAKey.import_key({"kty": "RSA", "n": _number(modulus), "e": "AQAB"})
    if _FAMILIES.get(algorithm[:2]) == "EC":
        return ECKey.generate_key(_CURVES[algorithm], private=False)
    return OKPKey.generate_key("Ed25519", private=False)


def _number(value: int) -> str:
    return urlsafe_b64encode(value.to_bytes(256)).decode().rstrip("=")
