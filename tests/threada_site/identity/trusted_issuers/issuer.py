"""An issuer of tokens: its keys, its documents on a receiver, and the tokens that it signs."""

from __future__ import annotations

import time
import uuid
from typing import Any

from joserfc import jwt
from joserfc.jwk import ECKey, OKPKey, RSAKey

from tests.receivers.fixtures import Receiver

PUBLIC_URL = "https://threada.test"
ALGORITHMS = ["RS256", "PS256", "ES256", "EdDSA", "HS256", "none"]


class Issuer:
    """Issuer with one RSA key at first."""

    def __init__(self, receiver: Receiver | None = None, *, name: str = "https://issuer.test") -> None:
        self.receiver = receiver
        self.name = receiver.url if receiver is not None else name
        self.keys: dict[str, RSAKey | ECKey | OKPKey] = {}
        self.add_key("first")

    def add_key(self, kid: str, key: Any = None) -> None:
        """Add a key and publish the key set."""
        self.keys[kid] = key or RSAKey.generate_key(2048, {"kid": kid, "use": "sig"})
        self.publish()

    def retire(self, kid: str) -> None:
        """Remove a key from the key set."""
        del self.keys[kid]
        self.publish()

    @property
    def key_set(self) -> dict[str, Any]:
        return {"keys": [{**key.as_dict(private=False), "kid": kid} for kid, key in self.keys.items()]}

    def publish(self, **discovery: Any) -> None:
        """Serve the discovery document and the key set."""
        if self.receiver is not None:
            said = {"issuer": self.name, "jwks_uri": f"{self.name}/jwks", **discovery}
            self.receiver.behave(
                {"/.well-known/openid-configuration": {"body": said}, "/jwks": {"body": self.key_set}}, status=404
            )

    def token(
        self,
        *,
        kid: str = "first",
        algorithm: str = "RS256",
        key: Any = None,
        header: dict[str, Any] | None = None,
        drop: tuple[str, ...] = (),
        **claims: Any,
    ) -> str:
        """Return a signed token for the tenant acme."""
        now = int(time.time())
        said = {
            "iss": self.name,
            "sub": "repo:acme/payments",
            "aud": f"{PUBLIC_URL}/acme",
            "iat": now,
            "nbf": now,
            "exp": now + 300,
            "jti": str(uuid.uuid4()),
            "repository": "acme/payments",
            **claims,
        }
        head = {"alg": algorithm, "kid": kid, "typ": "JWT", **(header or {})}
        for name in drop:
            said.pop(name, None)
            head.pop(name, None)
        return jwt.encode(head, said, key or self.keys[kid], algorithms=ALGORITHMS)


def mapping(**more: Any) -> dict[str, Any]:
    """Return a mapping to the service `deployer`."""
    return {
        "when": 'claims.repository == "acme/payments"',
        "principal": "deployer",
        "scopes": ["workitems:read", "workitems:write"],
        **more,
    }


def spec(issuer: Issuer, *mappings: dict[str, Any], **more: Any) -> dict[str, Any]:
    """Return the spec of a trusted issuer."""
    return {"issuer": issuer.name, "mappings": list(mappings) or [mapping()], **more}


def offline_spec(*mappings: dict[str, Any]) -> dict[str, Any]:
    """Return the spec of a trusted issuer whose key set is in the document."""
    issuer = Issuer()
    return spec(issuer, *mappings, jwks=issuer.key_set)
