"""Parser of `kind: IdentityProvider` documents. Pure.

```yaml
kind: IdentityProvider
id: corp
spec:
  protocol: oidc
  name: Corp
  issuer: https://id.example.com
  client_id: threada
  client_secret: {env: CORP_OIDC_SECRET}
  roles: {finance-team: [approver]}
  create_accounts: true
```

With `protocol: saml`, `metadata` replaces `issuer` and everything about the client.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from threada_site.identity.providers.saml_metadata import is_address, read_metadata
from threada_site.kernel.bounded_xml import MOST_BYTES
from threada_site.kernel.documents.field_errors import FieldErrors
from threada_site.kernel.documents.kind_schema import KindSchema
from threada_site.kernel.documents.structure import SLUG, Schema, closed_object
from threada_site.kernel.json.pointers import pointer_to

SCOPES: Final = ("openid", "email", "profile")
CLAIMS: Final = {"subject": "sub", "email": "email", "name": "name", "groups": "groups"}
SAML: Final = "saml"
NAME_ID: Final = "NameID"
"""Name of a SAML assertion's own subject, among the names of its attributes."""
_OF_OIDC: Final = ("issuer", "client_id", "client_secret", "scopes")
_OF_SAML: Final = ("metadata", "entity_id")
NO_LASTING_ID: Final = frozenset(
    {"email", "preferred_username", "upn", "unique_name", "name", "nickname", "phone_number"}
    | {"iss", "aud", "azp", "nonce", "acr", "amr", "groups"}
)
"""Claims that people or administrators of a provider change, or that are the same for many people."""
_CLAIM: Final[Schema] = {"type": "string", "minLength": 1, "maxLength": 200}
_MOST_ADDRESS: Final = 1000
_ADDRESS: Final = r"^https?://[^\s?#]+$"
SCHEMA: Final = KindSchema(
    "IdentityProvider",
    closed_object(
        {
            "protocol": {
                "enum": ["oidc", "saml"],
                "description": "OpenID Connect or SAML 2.0. SAML needs the optional part `saml`.",
                "errorMessage": "protocol is oidc or saml.",
            },
            "name": {"type": "string", "minLength": 1, "maxLength": 200, "description": "Label on the sign-in page."},
            "issuer": {
                "type": "string",
                "pattern": _ADDRESS,
                "maxLength": 500,
                "description": "Issuer, exactly as the provider's discovery document and tokens contain it.",
                "examples": ["https://id.example.com"],
                "errorMessage": "Write the issuer as https://host/path, without query and fragment.",
            },
            "client_id": {
                "type": "string",
                "minLength": 1,
                "maxLength": 500,
                "description": "Id of Threada at the provider.",
            },
            "client_secret": {
                "type": "object",
                "description": "Reference to the client's secret. Without it, Threada is a public client with PKCE.",
                "examples": [{"env": "CORP_OIDC_SECRET"}],
                "errorMessage": "A secret is named, never written out: {stored: name}, {env: NAME} or {file: /path}.",
            },
            "metadata": {
                "type": "string",
                "minLength": 1,
                "maxLength": MOST_BYTES,
                "description": "SAML metadata of the provider: its address, or the XML itself.",
                "examples": ["https://id.example.com/saml/metadata"],
            },
            "entity_id": {
                "type": "string",
                "minLength": 1,
                "maxLength": 500,
                "description": "Entity id of the SAML provider. Required if `metadata` is an address.",
                "examples": ["https://id.example.com/saml"],
            },
            "scopes": {
                "type": "array",
                "items": {"type": "string", "pattern": r"^[\x21\x23-\x5b\x5d-\x7e]{1,100}$"},
                "maxItems": 50,
                "description": "Scopes that are asked for; openid always is.",
                "default": list(SCOPES),
            },
            "claims": closed_object(
                {
                    "subject": {
                        **_CLAIM,
                        "description": "Claim of the lasting id of a person (SAML: `NameID`, or an attribute).",
                        "default": "sub",
                    },
                    "email": {**_CLAIM, "description": "Claim of the mail address.", "default": "email"},
                    "name": {**_CLAIM, "description": "Claim of the name that is shown.", "default": "name"},
                    "groups": {**_CLAIM, "description": "Claim of the list of groups.", "default": "groups"},
                    "scim_external_id": {
                        **_CLAIM,
                        "description": "Claim equal to the externalId of provisioned people (SCIM). "
                        "With it, only they sign in, and their roles follow from provisioned groups.",
                    },
                },
                description="Names of claims.",
            ),
            "roles": {
                "type": "object",
                "maxProperties": 1000,
                "additionalProperties": {"type": "array", "items": SLUG, "maxItems": 100},
                "description": "Group at the provider, and the roles that its members have here.",
                "default": {},
                "examples": [{"finance-team": ["approver"]}],
            },
            "create_accounts": {
                "type": "boolean",
                "description": "Create an account for everybody whom the provider signs in.",
                "default": False,
            },
            "required_claims": {
                "type": "object",
                "maxProperties": 20,
                "additionalProperties": {"type": "array", "items": {"type": "string"}, "minItems": 1, "maxItems": 100},
                "description": "Claim, and the values of which it must have one. Nobody else is signed in.",
                "default": {},
                "examples": [{"hd": ["example.com"]}],
            },
            "domains": {
                "type": "array",
                "items": {"type": "string", "pattern": r"^[a-z0-9.-]{1,253}$"},
                "maxItems": 100,
                "description": "Mail domains of the provider.",
                "default": [],
            },
            "enforce": {
                "type": "boolean",
                "description": "Refuse sign-in with a password, except to `break_glass`.",
                "default": False,
            },
            "break_glass": {
                "type": "array",
                "items": SLUG,
                "maxItems": 20,
                "description": "Names of people who may sign in with a password although `enforce` is true.",
                "default": [],
            },
            "acr_values": {
                "type": "array",
                "items": {"type": "string", "pattern": r"^\S{1,200}$"},
                "maxItems": 10,
                "description": "Authentication contexts, of which the provider must assert one (`acr`).",
                "default": [],
            },
            "second_factor_acr_values": {
                "type": "array",
                "items": {"type": "string", "pattern": r"^\S{1,200}$"},
                "maxItems": 10,
                "description": "Authentication contexts (`acr`) that assert a second factor. `mfa` in `amr` does too.",
                "default": [],
            },
            "max_age": {
                "type": ["integer", "null"],
                "minimum": 0,
                "maximum": 2592000,
                "description": "Seconds since the person last authenticated at the provider (`auth_time`).",
            },
        },
        required=("protocol", "name"),
        description="An identity provider at which members of the tenant sign in.",
    ),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ProviderSpec:
    """A parsed spec with its defaults.

    Of a SAML provider, `issuer` is the entity id. `keys` are the digests of its keys if the document contains them, and
    `metadata` is the metadata or its address.
    """

    protocol: str
    name: str
    issuer: str
    client_id: str
    client_secret: Mapping[str, str] | None
    scopes: tuple[str, ...]
    claims: Mapping[str, str]
    roles: Mapping[str, tuple[str, ...]]
    create_accounts: bool
    enforce: bool
    break_glass: tuple[str, ...]
    acr_values: tuple[str, ...]
    second_factor_acr_values: tuple[str, ...]
    max_age: int | None
    required_claims: Mapping[str, tuple[str, ...]]
    metadata: str = ""
    keys: frozenset[str] = frozenset()

    @property
    def identity(self) -> tuple[str, ...]:
        """Return what decides whom the provider names: issuer, client, address of metadata, claims of the ids."""
        external_id = self.claims.get("scim_external_id", "")
        return self.issuer, self.client_id, self.metadata_address, self.claims["subject"], external_id

    @property
    def metadata_address(self) -> str:
        """Return the address of a SAML provider's metadata, or ""."""
        return self.metadata if is_address(self.metadata) else ""

    def keeps_identity_of(self, earlier: ProviderSpec) -> bool:
        """Return True if nobody can name a person here who could not under the `earlier` spec."""
        return self.protocol == earlier.protocol and self.identity == earlier.identity and self.keys <= earlier.keys

    @property
    def all_roles(self) -> frozenset[str]:
        """Return the roles that the provider may give."""
        return frozenset(role for roles in self.roles.values() for role in roles)

    def roles_of(self, groups: frozenset[str]) -> frozenset[str]:
        """Return the roles of a person with these groups at the provider."""
        return frozenset(role for group in groups & self.roles.keys() for role in self.roles[group])


def parse_provider(value: Any) -> tuple[str | None, dict[str, Any]]:
    """Return id and spec of a whole document, or None and a bare spec.

    Raises `DocumentInvalid` with a `FieldError` for every error.
    """
    identifier, spec, base, errors = SCHEMA.parse(value)
    is_saml = spec.get("protocol") == SAML
    for name in _OF_OIDC if is_saml else _OF_SAML:
        if name in spec:
            errors.add(pointer_to(base, name), f"{name} belongs to protocol: {'oidc' if is_saml else 'saml'}.")
    if is_saml:
        _check_metadata(spec, base, errors)
    else:
        for name in ("issuer", "client_id"):
            if name not in spec:
                errors.add(pointer_to(base, name), f"Name the {name}.")
        if (subject := spec.get("claims", {}).get("subject")) in NO_LASTING_ID:
            errors.add(pointer_to(f"{base}/claims", "subject"), f"{subject} does not name a person for good. Use sub.")
    errors.raise_any(value=value)
    return identifier, dict(spec)


def _check_metadata(spec: Mapping[str, Any], base: str, errors: FieldErrors) -> None:
    metadata, place = spec.get("metadata"), pointer_to(base, "metadata")
    if not isinstance(metadata, str):
        errors.add(place, "Give the metadata of the provider: its address, or the XML itself.")
    elif is_address(metadata):
        if len(metadata) > _MOST_ADDRESS or not metadata.isprintable() or set(metadata) & set(" #"):
            errors.add(place, "Write the address of the metadata as https://host/path, without fragment.")
        if "entity_id" not in spec:
            errors.add(pointer_to(base, "entity_id"), "Name the entity id that the metadata must have.")
    else:
        try:
            found = read_metadata(metadata)
        except ValueError as error:
            errors.add(place, f"The metadata cannot be used: {error}.")
            return
        if spec.get("entity_id", found.entity_id) != found.entity_id:
            errors.add(pointer_to(base, "entity_id"), f"The metadata is that of {found.entity_id}.")


def read_spec(spec: Mapping[str, Any]) -> ProviderSpec:
    """Return a stored spec with its defaults."""
    is_saml = spec["protocol"] == SAML
    metadata = spec.get("metadata", "")
    inline = read_metadata(metadata) if metadata and not is_address(metadata) else None
    defaults = {**CLAIMS, "subject": NAME_ID} if is_saml else CLAIMS
    return ProviderSpec(
        protocol=spec["protocol"],
        name=spec["name"],
        issuer=inline.entity_id if inline else spec["entity_id"] if is_saml else spec["issuer"],
        client_id=spec.get("client_id", ""),
        client_secret=spec.get("client_secret"),
        scopes=tuple(dict.fromkeys(("openid", *spec.get("scopes", SCOPES)))),
        claims={**defaults, **spec.get("claims", {})},
        roles={group: tuple(roles) for group, roles in spec.get("roles", {}).items()},
        create_accounts=spec.get("create_accounts", False),
        enforce=spec.get("enforce", False),
        break_glass=tuple(spec.get("break_glass", ())),
        acr_values=tuple(spec.get("acr_values", ())),
        second_factor_acr_values=tuple(spec.get("second_factor_acr_values", ())),
        max_age=spec.get("max_age"),
        required_claims={claim: tuple(values) for claim, values in spec.get("required_claims", {}).items()},
        metadata=metadata,
        keys=inline.key_digests if inline else frozenset(),
    )
