"""Checks of a token that need no key, and of its claims. Pure."""

from __future__ import annotations

import math
from base64 import urlsafe_b64decode
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from threada_site.identity.trusted_issuers.document import ALGORITHMS, VARIABLES
from threada_site.kernel import errors
from threada_site.kernel.cel import MAX_COST
from threada_site.kernel.cel.expression import BoundFacts, ExpressionError, compile_expression
from threada_site.kernel.errors import ThreadaError
from threada_site.kernel.ids import is_slug
from threada_site.kernel.json.strict import parse_json

LEEWAY: Final = timedelta(seconds=30)
MOST_AUDIENCES: Final = 20
MOST_OF_CLAIM: Final = 500
_LAST_SECOND: Final = 32_503_680_000  # the year 3000
_TYPES: Final = frozenset({"jwt", "at+jwt", "jose"})
"""Values of `typ` of tokens that authenticate, in lower case. Others are for another purpose, as a logout token is."""
_NOT_UNDERSTOOD: Final = ("crit", "b64", "enc", "zip")


@dataclass(frozen=True, slots=True)
class UnverifiedToken:
    """Header and claims of a token whose signature is not verified yet."""

    text: str
    algorithm: str
    key_id: str
    claims: Mapping[str, Any]
    issuer: str
    subject: str
    audiences: tuple[str, ...]
    issued_at: datetime
    expires_at: datetime

    @property
    def token_id(self) -> str | None:
        """Return the claim `jti`; Entra ID sends `uti` instead."""
        found = self.claims.get("jti", self.claims.get("uti"))
        return found[:MOST_OF_CLAIM] if isinstance(found, str) else None


def read_token(text: str, *, now: datetime) -> UnverifiedToken:
    """Read a JWT without verifying its signature.

    Raise `WorkloadTokenMalformed`, `WorkloadAlgorithmRefused` (none, HMAC, unknown), `WorkloadTokenExpired` or
    `WorkloadTokenNotYetValid`. These depend on nothing but the token.
    """
    head, body, _ = text.split(".")
    header, claims = _json(head), _json(body)
    algorithm, key_id = header.get("alg"), header.get("kid")
    if algorithm not in ALGORITHMS:
        raise errors.WorkloadAlgorithmRefused
    _check_header(header)
    if "cnf" in claims:
        raise errors.WorkloadTokenMalformed("It is bound to a key (cnf), and its possession is not proved here.")
    audience = claims.get("aud")
    audiences = audience if isinstance(audience, list) else [audience]
    named = {"kid": key_id, "iss": claims.get("iss"), "sub": claims.get("sub")}
    wrong = [name for name, value in named.items() if not _is_text(value)]
    if not 0 < len(audiences) <= MOST_AUDIENCES or not all(map(_is_text, audiences)):
        wrong.append("aud")
    if wrong:
        raise errors.WorkloadTokenMalformed(f"It has no usable {', '.join(wrong)}.")
    issued_at, expires_at = _time(claims, "iat"), _time(claims, "exp")
    if expires_at + LEEWAY <= now:
        raise errors.WorkloadTokenExpired
    if issued_at - LEEWAY > now or ("nbf" in claims and _time(claims, "nbf") - LEEWAY > now):
        raise errors.WorkloadTokenNotYetValid
    return UnverifiedToken(
        text=text,
        algorithm=str(algorithm),
        key_id=str(key_id),
        claims=claims,
        issuer=str(claims["iss"]),
        subject=str(claims["sub"]),
        audiences=tuple(map(str, audiences)),
        issued_at=issued_at,
        expires_at=expires_at,
    )


def _check_header(header: Mapping[str, Any]) -> None:
    """Raise `WorkloadTokenMalformed` for what must be understood and is not, and for tokens of another purpose."""
    refused = [name for name in _NOT_UNDERSTOOD if name in header]
    if refused:
        raise errors.WorkloadTokenMalformed(f"The header has {refused[0]}, which this instance does not understand.")
    kind = header.get("typ", "JWT")
    if not isinstance(kind, str) or kind.lower().removeprefix("application/") not in _TYPES:
        raise errors.WorkloadTokenMalformed("The header has another typ than JWT or at+jwt.")
    if "cty" in header:
        raise errors.WorkloadTokenMalformed("It contains another token (cty).")


@dataclass(frozen=True, slots=True)
class Mapped:
    """Principal, roles and scopes of a verified token. `roles` is None if the token does not narrow them."""

    principal: str
    scopes: tuple[str, ...]
    roles: tuple[str, ...] | None
    lifetime: timedelta
    create: Mapping[str, str] | None


class NothingMappedError(Exception):
    """No mapping applies to the claims, or one has no result. The message says which."""


def map_claims(claims: Mapping[str, Any], mappings: Any, *, default_minutes: int) -> Mapped:
    """Return the result of the only mapping that applies.

    Raise `NothingMappedError` if none applies or a condition has no result; `WorkloadNotMapped` if several apply, or
    one that gives no principal. All conditions together cost no more than `MAX_COST`.
    """
    facts = BoundFacts({"claims": dict(claims)}, variables=VARIABLES)
    if sum(facts.cost_of(mapping["when"], VARIABLES) for mapping in mappings) > MAX_COST:
        raise NothingMappedError("The conditions cost too much with the claims of this token.")
    try:
        applying = [
            mapping for mapping in mappings if compile_expression(mapping["when"], variables=VARIABLES).truth(facts)
        ]
    except ExpressionError as error:
        raise NothingMappedError(f"A condition has no result: {error.message}") from None
    if not applying:
        raise NothingMappedError("No mapping applies.")
    if len(applying) != 1:
        raise errors.WorkloadNotMapped(f"{len(applying)} mappings apply to its claims. Exactly one must apply.")
    (mapping,) = applying
    roles = mapping.get("roles")
    return Mapped(
        principal=_principal(mapping, facts),
        scopes=tuple(mapping["scopes"]),
        roles=None if roles is None else tuple(roles),
        lifetime=timedelta(minutes=int(mapping.get("lifetime_minutes", default_minutes))),
        create=mapping.get("create"),
    )


def _principal(mapping: Mapping[str, Any], facts: BoundFacts) -> str:
    principal = mapping.get("principal")
    if principal is None:
        try:
            principal = compile_expression(mapping["principal_from"], variables=VARIABLES).value(facts)
        except ExpressionError:
            principal = None
    if not isinstance(principal, str) or not is_slug(principal):
        raise errors.WorkloadNotMapped("The mapping that applies does not give the name of an account.")
    return principal


def _json(part: str) -> dict[str, Any]:
    try:
        found = parse_json(urlsafe_b64decode(part + "=" * (-len(part) % 4)))
    except (ValueError, ThreadaError, RecursionError):
        raise errors.WorkloadTokenMalformed("Its header or claims are not JSON.") from None
    if not isinstance(found, dict):
        raise errors.WorkloadTokenMalformed("Its header or claims are not a JSON object.")
    return found


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and 0 < len(value) <= MOST_OF_CLAIM


def _time(claims: Mapping[str, Any], name: str) -> datetime:
    value = claims.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise errors.WorkloadTokenMalformed(f"It has no usable {name}.")
    if not 0 <= value <= _LAST_SECOND:
        raise errors.WorkloadTokenMalformed(f"It has no usable {name}.")
    return datetime.fromtimestamp(value, tz=UTC)
