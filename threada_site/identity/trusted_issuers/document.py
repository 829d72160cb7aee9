"""Parser of `kind: TrustedIssuer` documents. Pure.

```yaml
kind: TrustedIssuer
id: github
spec:
  issuer: https://token.actions.githubusercontent.com
  algorithms: [RS256]
  mappings:
    - when: claims.repository == "acme/payments" && claims.ref == "refs/heads/main"
      principal: deployer
      scopes: [workitems:read, workitems:write]
      lifetime_minutes: 10
```
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from threada_site.kernel.cel import MAX_COST, worst_cost
from threada_site.kernel.cel.expression import ExpressionError, compile_expression
from threada_site.kernel.cel.sizes import AnyValue
from threada_site.kernel.context import Scope
from threada_site.kernel.documents.field_errors import FieldErrors
from threada_site.kernel.documents.kind_schema import KindSchema
from threada_site.kernel.documents.structure import SLUG, closed_object, text, whole_number
from threada_site.kernel.json.pointers import pointer_to

ALGORITHMS: Final = (
    "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA", "Ed25519",
)  # fmt: skip
VARIABLES: Final = ("claims",)
MAX_MAPPINGS: Final = 100
MAX_KEYS: Final = 50
MAX_MINUTES: Final = 24 * 60
DEFAULT_MINUTES: Final = 60
_CONDITION_LENGTH: Final = 4096
_ORDINARY_BYTES: Final = 4096
"""Size of claims up to which the conditions of a document are known to be cheap enough."""
_URL_ADVICE: Final = "Write an https address. http is accepted for 127.0.0.1, [::1] and localhost only."
_URL_PATTERN: Final = r"^(https://|http://(127\.0\.0\.1|\[::1\]|localhost)(:[0-9]+)?(/|$))[!-~]*$"
_ROLES: Final = {"type": "array", "items": SLUG, "maxItems": 50}
_MAPPING: Final = closed_object(
    {
        "when": {
            **text(_CONDITION_LENGTH),
            "description": "CEL over `claims`: the tokens that this mapping applies to.",
            "examples": ['claims.repository == "acme/payments" && claims.ref == "refs/heads/main"'],
        },
        "principal": {**SLUG, "description": "Name of the service or agent that acts.", "examples": ["deployer"]},
        "principal_from": {
            **text(_CONDITION_LENGTH),
            "description": "CEL over `claims` that gives the name of the service or agent, if the name is not fixed.",
            "examples": ["claims.azp"],
        },
        "roles": {
            **_ROLES,
            "description": "Roles that the token acts with, of those that the account has. Default: all, and grants "
            "on single objects. An account that is created gets these roles.",
            "examples": [["client"]],
        },
        "scopes": {
            "type": "array",
            "items": {"enum": sorted(scope.value for scope in Scope), "title": "scope"},
            "description": "Scopes that the token may use, of those that the account has.",
            "examples": [["workitems:read", "workitems:write"]],
        },
        "lifetime_minutes": whole_number(
            1,
            MAX_MINUTES,
            description="Minutes after its issue (`iat`) for which a token is accepted, if `exp` is later.",
            default=DEFAULT_MINUTES,
        ),
        "create": closed_object(
            {
                "kind": {"enum": ["service", "agent"], "description": "Kind of the account that is created."},
                "owner": {**SLUG, "description": "Person who answers for it.", "examples": ["ann"]},
            },
            required=("kind", "owner"),
            description="Create the account on first use, if it does not exist.",
            errorMessage="Write {kind: service, owner: NAME}.",
        ),
    },
    required=("when", "scopes"),
    description="What tokens with certain claims act as.",
)
TRUSTED_ISSUER_SCHEMA: Final = KindSchema(
    "TrustedIssuer",
    closed_object(
        {
            "issuer": {
                "type": "string",
                "minLength": 1,
                "maxLength": 500,
                "pattern": "^[!-~]+$",
                "description": "Claim `iss` of its tokens, exactly.",
                "examples": ["https://token.actions.githubusercontent.com"],
                "errorMessage": "Write the claim iss of the tokens: visible ASCII characters, 500 at most.",
            },
            "audience": {
                "type": "string",
                "minLength": 1,
                "maxLength": 500,
                "pattern": "^[!-~]+$",
                "description": "Claim `aud` of tokens for this tenant. Default: the public URL, /, and the tenant.",
                "examples": ["https://threada.example/acme"],
                "errorMessage": "Write one audience: visible ASCII characters, 500 at most.",
            },
            "algorithms": {
                "type": "array",
                "items": {"enum": list(ALGORITHMS), "title": "algorithm"},
                "minItems": 1,
                "description": "Accepted signature algorithms, all asymmetric.",
                "default": ["RS256"],
                "examples": [["RS256", "ES256"]],
            },
            "jwks_url": {
                "type": "string",
                "maxLength": 500,
                "pattern": _URL_PATTERN,
                "description": "Address of the key set. Default: the one that the discovery document names, at "
                "ISSUER/.well-known/openid-configuration.",
                "examples": ["https://token.actions.githubusercontent.com/.well-known/jwks"],
                "errorMessage": _URL_ADVICE,
            },
            "jwks": {
                "type": "object",
                "properties": {
                    "keys": {
                        "type": "array",
                        "items": {"type": "object"},
                        "minItems": 1,
                        "maxItems": MAX_KEYS,
                        "description": "Public keys (JWK), each with a kid.",
                    }
                },
                "required": ["keys"],
                "description": "The key set itself (RFC 7517), for issuers that this instance cannot reach.",
                "errorMessage": f"Write a key set: {{keys: [...]}} with 1 to {MAX_KEYS} public keys.",
            },
            "mappings": {
                "type": "array",
                "items": _MAPPING,
                "minItems": 1,
                "maxItems": MAX_MAPPINGS,
                "description": "Exactly one must apply to a token.",
            },
        },
        required=("issuer", "mappings"),
        description="An issuer whose signed tokens (JWT) authenticate services and agents of the tenant.",
    ),
)


@dataclass(frozen=True, slots=True)
class TrustedIssuerDocument:
    """A parsed document. `id` is None for a bare spec. `audience` is empty if it is the default."""

    id: str | None
    spec: Mapping[str, Any]

    @property
    def audience(self) -> str:
        return str(self.spec.get("audience", ""))


def parse_trusted_issuer(value: Any) -> TrustedIssuerDocument:
    """Parse a whole document (`kind`, `id`, `spec`) or a bare spec.

    Raises `DocumentInvalid` with a `FieldError` for every error.
    """
    identifier, spec, base, errors = TRUSTED_ISSUER_SCHEMA.parse(value)
    _check_keys(spec, base, errors)
    mappings = spec.get("mappings")
    for index, mapping in enumerate(mappings if isinstance(mappings, list) else ()):
        place = pointer_to(pointer_to(base, "mappings"), index)
        if isinstance(mapping, Mapping) and errors.is_clean(place):
            _check_mapping(mapping, place, errors)
    _check_costs(mappings, pointer_to(base, "mappings"), errors)
    errors.raise_any(value=value)
    return TrustedIssuerDocument(identifier, dict(spec))


def _check_keys(spec: Mapping[str, Any], base: str, errors: FieldErrors) -> None:
    from threada_site.identity.trusted_issuers.keys import public_keys  # joserfc is loaded only where it is used

    inline = pointer_to(base, "jwks")
    if "jwks" in spec and errors.is_clean(inline):
        if "jwks_url" in spec:
            errors.add(inline, "Write jwks or jwks_url, not both.")
        elif not public_keys(spec["jwks"]):
            errors.add(inline, "It has no usable public key with a kid: RSA of 2048 bits or more, EC, or Ed25519.")
    issuer = spec.get("issuer")
    needs_discovery = "jwks" not in spec and "jwks_url" not in spec
    if needs_discovery and isinstance(issuer, str) and not re.match(_URL_PATTERN, issuer):
        errors.add(pointer_to(base, "issuer"), f"{_URL_ADVICE} For another issuer, name jwks_url or jwks.")


def _check_mapping(mapping: Mapping[str, Any], place: str, errors: FieldErrors) -> None:
    _check_expression(mapping["when"], pointer_to(place, "when"), errors, must_be_truth=True)
    if ("principal" in mapping) == ("principal_from" in mapping):
        errors.add(place, "Name either principal or principal_from.")
    if "principal_from" in mapping:
        _check_expression(mapping["principal_from"], pointer_to(place, "principal_from"), errors)
        if "create" in mapping:
            errors.add(pointer_to(place, "create"), "Only a mapping with a fixed principal can create it.")


def _check_costs(mappings: Any, place: str, errors: FieldErrors) -> None:
    """Refuse conditions that together hold the process for too long with ordinary claims."""
    if not (isinstance(mappings, list) and errors.is_clean(place)):
        return
    sizes = {"claims": AnyValue(_ORDINARY_BYTES)}
    cost = sum(worst_cost(mapping["when"], variables=VARIABLES, sizes=sizes) for mapping in mappings)
    if cost > MAX_COST:
        errors.add(place, f"All conditions may cost {cost:,.0f} units; {MAX_COST:,} are allowed. Loop less.")


def _check_expression(source: str, place: str, errors: FieldErrors, *, must_be_truth: bool = False) -> None:
    try:
        compiled = compile_expression(source, variables=VARIABLES)
    except ExpressionError as error:
        errors.add(place, error.message, line=error.line, column=error.column)
        return
    if must_be_truth and not compiled.may_be_truth:
        errors.add(place, "It must say true or false.")
