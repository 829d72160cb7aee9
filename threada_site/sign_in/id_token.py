"""Verification of ID tokens (OpenID Connect Core, section 3.1.3.7). The signature is always verified.

Imports no Django.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from collections.abc import Callable
from typing import Any, Final

from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet
from joserfc.jws import JWSRegistry

from threada_site.kernel import errors
from threada_site.kernel.errors import ThreadaError
from threada_site.kernel.json.strict import parse_json

ALGORITHMS: Final = (
    "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA", "Ed25519",
)  # fmt: skip
"""Signature algorithms that are accepted: neither `none` nor HMAC, whose key would be the client's secret."""
LEEWAY_S: Final = 60
OLDEST_S: Final = 600
_LAST_SECOND: Final = 32_503_680_000  # the year 3000
_DIGESTS: Final = {"256": hashlib.sha256, "384": hashlib.sha384, "512": hashlib.sha512}


def verified_claims(
    token: Any,
    keys: Callable[[str | None], KeySet],
    *,
    issuer: str,
    client_id: str,
    nonce: str,
    access_token: str = "",
    max_age: int | None = None,
    not_before: float | None = None,
    acr_values: tuple[str, ...] = (),
    now: float,
) -> dict[str, Any]:
    """Return the claims of an ID token. `keys` returns the provider's keys for a key id.

    `max_age` and `not_before` limit the time of the authentication at the provider, `acr_values` its kind.

    Raise `IdentityTokenInvalid`, which names the check that failed; `IssuerMismatch` for another issuer.
    """
    if not isinstance(token, str) or token.count(".") != 2:
        raise _invalid("there is no signed ID token")
    header = _accepted_header(token)
    key_id = header.get("kid")
    try:
        claims = jwt.decode(token, keys(key_id if isinstance(key_id, str) else None), registry=_registry()).claims
    except (JoseError, ValueError, RecursionError):
        raise _invalid("its signature is not valid") from None
    if claims.get("iss") != issuer:
        raise errors.IssuerMismatch
    _check_audience(claims, client_id)
    _check_times(claims, now)
    sent = claims.get("nonce")
    if not isinstance(sent, str) or not _is_same(sent, nonce):
        raise _invalid("its nonce is not that of this sign-in")
    if not isinstance(claims.get("sub"), str) or not claims["sub"]:
        raise _invalid("it has no subject")
    if "at_hash" in claims and access_token:
        _check_access_token(claims["at_hash"], access_token, header["alg"])
    oldest = [now - max_age - LEEWAY_S] if max_age is not None else []
    oldest += [not_before] if not_before is not None else []
    _check_authentication(claims, max(oldest, default=None), acr_values, now)
    return dict(claims)


class _Registry(JWSRegistry):
    """Header rules of joserfc. Providers send `x5t` and private header fields; nothing in them is used."""

    max_header_length = 4096


def _registry() -> _Registry:
    return _Registry(algorithms=ALGORITHMS, strict_check_header=False)


def _check_authentication(
    claims: dict[str, Any], oldest: float | None, acr_values: tuple[str, ...], now: float
) -> None:
    if oldest is not None:
        at = _number(claims, "auth_time")
        if at < oldest or at > now + LEEWAY_S:
            raise _invalid("the authentication at the provider is too old")
    if acr_values and claims.get("acr") not in acr_values:
        raise _invalid("the authentication at the provider is not one of acr_values")


def _accepted_header(token: str) -> dict[str, Any]:
    """Return the header of a token before its signature is verified, if its algorithm and type are accepted."""
    part = token.partition(".")[0]
    try:
        header = parse_json(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
    except (binascii.Error, ValueError, ThreadaError):
        raise _invalid("it cannot be read") from None
    if not isinstance(header, dict):
        raise _invalid("it cannot be read")
    if header.get("alg") not in ALGORITHMS:
        raise _invalid("its signature algorithm is not accepted")
    if "crit" in header or "b64" in header or str(header.get("typ", "JWT")).upper() != "JWT":
        raise _invalid("it is a token of another kind")
    return header


def _check_audience(claims: dict[str, Any], client_id: str) -> None:
    audience = claims.get("aud")
    audiences = audience if isinstance(audience, list) else [audience]
    if client_id not in audiences:
        raise _invalid("it is for another client")
    if (len(audiences) > 1 or "azp" in claims) and claims.get("azp") != client_id:
        raise _invalid("it was issued to another client")


def _check_times(claims: dict[str, Any], now: float) -> None:
    if _number(claims, "exp") <= now - LEEWAY_S:
        raise _invalid("it has expired")
    issued = _number(claims, "iat")
    if issued > now + LEEWAY_S or ("nbf" in claims and _number(claims, "nbf") > now + LEEWAY_S):
        raise _invalid("it is not valid yet")
    if issued < now - OLDEST_S:
        raise _invalid("it was issued too long ago")


def _check_access_token(stated: Any, access_token: str, algorithm: str) -> None:
    digest = _DIGESTS.get(algorithm[-3:], hashlib.sha512)(access_token.encode()).digest()
    if algorithm == "Ed25519":
        digest = hashlib.sha512(access_token.encode()).digest()
    expected = base64.urlsafe_b64encode(digest[: len(digest) // 2]).rstrip(b"=").decode()
    if not isinstance(stated, str) or not _is_same(stated, expected):
        raise _invalid("its access token is another one")


def _number(claims: dict[str, Any], name: str) -> float:
    value = claims.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= _LAST_SECOND:  # nor NaN
        raise _invalid(f"it has no usable {name}")
    return float(value)


def _is_same(sent: str, expected: str) -> bool:
    """Compare in constant time. A claim can contain lone surrogates, which UTF-8 cannot."""
    return hmac.compare_digest(sent.encode("utf-8", "surrogatepass"), expected.encode())


def _invalid(why: str) -> errors.IdentityTokenInvalid:
    return errors.IdentityTokenInvalid(f"The ID token is refused: {why}. Start the sign-in again.")
