"""Requests of access tokens: client credentials of OAuth 2.0 (RFC 6749, section 4.4). Imports no Django.

A failure is never ambiguous, because the call that needs the token was not sent. What the token endpoint says is not
repeated in a detail, except the codes of the standard.
"""

from __future__ import annotations

import base64
import re
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import quote_plus, urlencode

from integrations.attempts.failures import FailureClass, TransportFailure
from integrations.secrets.origins import shown_address
from integrations.secrets.references import Secret
from integrations.transport import EgressPolicy, Network, OutboundAnswer, OutboundRequest, send
from threada_site.kernel.errors import ThreadaError
from threada_site.kernel.json.strict import parse_json

LONGEST_LIFE_S: Final = 86_400.0
DEFAULT_LIFE_S: Final = 300.0
"""Life of a token whose endpoint does not say how long it lives."""
MOST_BYTES: Final = 64 * 1024
_TOKEN: Final = re.compile(r"[\x21-\x7e]{1,16384}")
_CODES: Final = (
    "invalid_client",
    "invalid_grant",
    "invalid_request",
    "invalid_scope",
    "invalid_target",
    "unauthorized_client",
    "unsupported_grant_type",
)
_KEPT: Final = (FailureClass.TIMEOUT, FailureClass.BLOCKED_ADDRESS)


@dataclass(frozen=True, slots=True)
class IssuedToken:
    """A bearer token, and its life in seconds."""

    value: Secret
    life_s: float


def request_token(
    auth: Mapping[str, Any],
    client_secret: Secret,
    *,
    egress: EgressPolicy,
    timeout_s: float,
    network: Network,
    tls: ssl.SSLContext | None,
    user_agent: str,
) -> IssuedToken:
    """Request a token as `{scheme: oauth2, token_url, client_id, client_auth, scopes?, audience?, resource?}` says.

    Raises `TransportFailure`: `credential_unavailable` if the endpoint refuses the client, `blocked_address`,
    `timeout`, else `connection_refused`.
    """
    form = {"grant_type": "client_credentials", "scope": " ".join(auth.get("scopes", ()))}
    form |= {name: auth[name] for name in ("audience", "resource") if name in auth}
    headers = {
        "Accept": "application/json",
        "Content-Type": "application/x-www-form-urlencoded",
        "User-Agent": user_agent,
    }
    if auth["client_auth"] == "post":
        form |= {"client_id": auth["client_id"], "client_secret": client_secret.reveal()}
    else:
        pair = f"{quote_plus(auth['client_id'])}:{quote_plus(client_secret.reveal())}"
        headers["Authorization"] = f"Basic {base64.b64encode(pair.encode()).decode()}"
    body = urlencode({name: value for name, value in form.items() if value}).encode()
    outbound = OutboundRequest("POST", auth["token_url"], tuple(headers.items()), body)
    place = f"The token endpoint at {shown_address(auth['token_url'])}"
    try:
        answer = send(outbound, egress=egress, timeout_s=timeout_s, max_body_bytes=MOST_BYTES, network=network, tls=tls)
    except TransportFailure as failure:
        kept = failure.failure if failure.failure in _KEPT else FailureClass.CONNECTION_REFUSED
        raise TransportFailure(kept, f"{place} gave no token. {failure.detail}") from None
    try:
        return _token_in(answer)
    except _UnusableError as error:
        raise TransportFailure(error.failure, f"{place} {error}.") from None


class _UnusableError(Exception):
    def __init__(self, why: str, failure: FailureClass = FailureClass.CONNECTION_REFUSED) -> None:
        self.failure = failure
        super().__init__(why)


def _token_in(answer: OutboundAnswer) -> IssuedToken:
    try:
        said = parse_json(answer.body)
    except ThreadaError:
        said = None
    found: Mapping[str, Any] = said if isinstance(said, dict) else {}
    if answer.status in (400, 401, 403):
        code = found.get("error")
        named = f" ({code})" if code in _CODES else ""
        raise _UnusableError(f"refused the client with {answer.status}{named}", FailureClass.CREDENTIAL_UNAVAILABLE)
    if answer.status != 200:
        raise _UnusableError(f"answered {answer.status}")
    token, kind, life_s = found.get("access_token"), found.get("token_type"), found.get("expires_in", DEFAULT_LIFE_S)
    if not isinstance(token, str) or not _TOKEN.fullmatch(token):
        raise _UnusableError("gave no token")
    if not isinstance(kind, str) or kind.lower() != "bearer":
        raise _UnusableError("gave a token of another type than Bearer")
    if isinstance(life_s, str) and life_s.isascii() and life_s.isdigit():
        life_s = float(life_s[:9])
    if isinstance(life_s, bool) or not isinstance(life_s, int | float) or not life_s > 0:
        raise _UnusableError("gave a token that has ended already")
    return IssuedToken(Secret(token), min(float(life_s), LONGEST_LIFE_S))
