"""An OpenID Connect provider for tests, which also gives wrong answers. It serves 127.0.0.1 in a thread."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import secrets
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, parse_qsl, urlsplit

from joserfc import jws, jwt
from joserfc.jwk import KeySet, RSAKey


class OidcProvider:
    """A provider. `claims` are those of the next ID token; `userinfo` those of the userinfo endpoint.

    `metadata` overrides members of the discovery document. `sign` returns the compact token for its claims.
    """

    def __init__(self) -> None:
        self.key = RSAKey.generate_key(2048, {"kid": "one", "use": "sig"})
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self.issuer = f"http://127.0.0.1:{self.server.server_port}"
        self.codes: dict[str, dict[str, str]] = {}
        self.reuses_codes = False
        self.requests: list[tuple[str, dict[str, str], str]] = []
        self.metadata: dict[str, Any] = {}
        self.claims: dict[str, Any] = {}
        self.userinfo: dict[str, Any] | None = None
        self.other_keys: list[Any] = []
        self.access_token: Any = "at"
        self.sign: Callable[[dict[str, Any]], Any] = self.signed
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()

    def authorize(self, address: str, **claims: Any) -> dict[str, str]:
        """Sign a person in who was redirected to `address`. Return the query of the answer."""
        asked = dict(parse_qsl(urlsplit(address).query))
        code = secrets.token_urlsafe(16)
        self.codes[code] = asked
        self.claims = {"sub": "person-1", **claims}
        return {"code": code, "state": asked["state"]}

    def id_token(self, asked: Mapping[str, str]) -> str:
        now = int(time.time())
        claims = {"iss": self.issuer, "aud": asked["client_id"], "nonce": asked["nonce"], "iat": now, "exp": now + 300}
        return self.sign({name: value for name, value in {**claims, **self.claims}.items() if value is not None})

    def signed(self, claims: dict[str, Any]) -> str:
        return jwt.encode({"alg": "RS256", "kid": "one"}, claims, self.key)

    def signed_bytes(self, payload: bytes) -> str:
        """Return a signed token whose payload need not be JSON."""
        return jws.serialize_compact({"alg": "RS256", "kid": "one"}, payload, self.key)

    def unsigned(self, claims: dict[str, Any]) -> str:
        return f"{_part({'alg': 'none'})}.{_part(claims)}."

    def signed_by_other_key(self, claims: dict[str, Any]) -> str:
        return jwt.encode({"alg": "RS256", "kid": "one"}, claims, RSAKey.generate_key(2048, {"kid": "one"}))

    def signed_with_public_key(self, claims: dict[str, Any]) -> str:
        """Return a token under HMAC, with the public key as the secret."""
        signed = f"{_part({'alg': 'HS256', 'kid': 'one'})}.{_part(claims)}"
        mac = hmac.digest(self.key.as_pem(private=False), signed.encode(), "sha256")
        return f"{signed}.{_encoded(mac)}"

    def answer(self, path: str, form: dict[str, str], authorization: str) -> tuple[int, Any]:
        self.requests.append((path, form, authorization))
        if path == "/.well-known/openid-configuration":
            return 200, {
                "issuer": self.issuer,
                "authorization_endpoint": f"{self.issuer}/authorize",
                "token_endpoint": f"{self.issuer}/token",
                "jwks_uri": f"{self.issuer}/keys",
                "userinfo_endpoint": f"{self.issuer}/userinfo",
                **self.metadata,
            }
        if path == "/keys":
            return 200, {"keys": [*self.other_keys, *KeySet([self.key]).as_dict(private=False)["keys"]]}
        if path == "/userinfo":
            return 200, {"sub": self.claims["sub"], "groups": []} if self.userinfo is None else self.userinfo
        return self._token(form)

    def _token(self, form: dict[str, str]) -> tuple[int, Any]:
        code = form.get("code", "")
        asked = self.codes.get(code) if self.reuses_codes else self.codes.pop(code, None)
        digest = hashlib.sha256(form.get("code_verifier", "").encode()).digest()
        if (
            asked is None
            or _encoded(digest) != asked["code_challenge"]
            or form["redirect_uri"] != asked["redirect_uri"]
        ):
            return 400, {"error": "invalid_grant"}
        return 200, {"access_token": self.access_token, "token_type": "Bearer", "id_token": self.id_token(asked)}


@contextmanager
def running_provider() -> Iterator[OidcProvider]:
    provider = OidcProvider()
    try:
        yield provider
    finally:
        provider.server.shutdown()
        provider.server.server_close()


def _part(value: Any) -> str:
    return _encoded(json.dumps(value).encode())


def _encoded(value: bytes) -> str:
    return base64.urlsafe_b64encode(value).rstrip(b"=").decode()


def _handler(provider: OidcProvider) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._answer({})

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"])).decode()
            self._answer({name: values[0] for name, values in parse_qs(body).items()})

        def _answer(self, form: dict[str, str]) -> None:
            status, value = provider.answer(self.path, form, self.headers.get("Authorization", ""))
            body = json.dumps(value).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_arguments: Any) -> None:
            """Write no log."""

    return Handler
