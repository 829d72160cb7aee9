"""Interface of a connector. A separate package can add one, see docs/connectors.md.

A connector has two steps. When an action is requested, `build_request` renders it into the exact request as JSON, which
becomes part of the envelope that people approve. The request contains references instead of secrets, and building it
makes no call. After the approval, an `OutboundConnector` receives the request of that envelope and sends it, outside
any transaction, through `integrations.transport` only. A connector whose actions change the work item itself
(`workflow`) has no `call`: the service that settles the execution performs the action inside its transaction.
"""

from __future__ import annotations

import ssl
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import IO, Any, Protocol, runtime_checkable

from integrations.attempts.failures import FailureClass, TransportFailure
from integrations.attempts.outcomes import Outcome
from integrations.documents import ActionDocument, IntegrationDocument
from integrations.secrets.references import Secret, SecretReference
from integrations.transport import EgressPolicy, Network, SystemNetwork
from threada_site.kernel import clock


class Tokens(Protocol):
    """Access tokens for the calls of an integration version (`integrations.secrets.access_tokens`)."""

    def token(
        self,
        auth: Mapping[str, Any],
        *,
        sent_to: str,
        egress: EgressPolicy,
        timeout_s: float,
        network: Network,
        tls: ssl.SSLContext | None,
        user_agent: str,
    ) -> Secret: ...

    def forget(self) -> None: ...


class OpenFile(Protocol):
    """Copy of a file with the size and digest of its description."""

    @property
    def size(self) -> int: ...
    @property
    def file(self) -> IO[bytes]: ...
    def blocks(self) -> Iterable[bytes]: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class CallTerms:
    """Parameters of one attempt, in addition to the request in the envelope.

    `idempotency_key` is derived from the execution and is the same for every attempt. `timeout_s` limits the whole
    attempt. `user_agent` is `Threada/<version>`. `traceparent` (W3C) is sent if given. `now` is the current time, for
    Retry-After dates. `tls` is None for public certificate authorities only. `secrets` returns the secret of a
    reference for a call to an address (`integrations.secrets.access.SecretAccess`), `files` the checked copy of a file
    in the request, `tokens` the access token of the scheme oauth2. `callback_url` is the address where a receiver
    reports the result later. `kept_for` names the owner
    of kept connections (see `integrations.transport.send`); without it each call opens its own.
    """

    idempotency_key: str
    timeout_s: float
    egress: EgressPolicy
    user_agent: str
    traceparent: str | None = None
    callback_url: str | None = None
    network: Network = field(default_factory=SystemNetwork)
    tls: ssl.SSLContext | None = None
    secrets: Callable[[SecretReference, str], Secret] | None = field(default=None, repr=False)
    tokens: Tokens | None = field(default=None, repr=False)
    files: Callable[[Mapping[str, Any]], OpenFile] | None = field(default=None, repr=False)
    now: datetime = field(default_factory=clock.now)
    kept_for: str = ""

    def secret(self, reference: SecretReference, *, sent_to: str) -> Secret:
        """Return the secret of a reference for a call to `sent_to`, the complete URL of the request.

        Raises `TransportFailure`: `secret_origin_refused` if the secret may not be sent there, else
        `credential_unavailable`.
        """
        if self.secrets is None:
            raise TransportFailure(FailureClass.CREDENTIAL_UNAVAILABLE, f"The call has no secret {reference}.")
        return self.secrets(reference, sent_to)

    def token(self, auth: Mapping[str, Any], *, sent_to: str) -> Secret:
        """Return the access token for a call to `sent_to`. Raises `TransportFailure`, never an ambiguous one."""
        if self.tokens is None:
            raise TransportFailure(FailureClass.CREDENTIAL_UNAVAILABLE, "The call has no access token.")
        return self.tokens.token(
            auth,
            sent_to=sent_to,
            egress=self.egress,
            timeout_s=self.timeout_s,
            network=self.network,
            tls=self.tls,
            user_agent=self.user_agent,
        )

    def file(self, about: Mapping[str, Any]) -> OpenFile:
        """Return a copy of a file of the request whose digest and size were checked.

        Raises `TransportFailure`: `attachment_mismatch` if it is not the file in the envelope, `attachment_unavailable`
        if the storage does not answer. Open all files of a request before sending anything.
        """
        if self.files is None:
            raise TransportFailure(FailureClass.ATTACHMENT_MISMATCH, "The call has no files.")
        return self.files(about)


class Connector(Protocol):
    """A kind of external system. Stateless: one instance serves all tenants, in several threads at once."""

    @property
    def name(self) -> str:
        """The value of `connector` in documents."""
        ...

    def build_request(
        self, integration: IntegrationDocument, action: ActionDocument, facts: Mapping[str, Any]
    ) -> dict[str, Any]:
        """Return the exact request as I-JSON for the envelope, with secrets by reference.

        `facts` contains `item`, `ctx` and `input`. Equal arguments give equal requests. Raises `ExpressionFailed`.
        """
        ...


@runtime_checkable
class OutboundConnector(Connector, Protocol):
    """A connector that sends its requests to an external system."""

    def call(self, request: Mapping[str, Any], terms: CallTerms) -> Outcome:
        """Make one attempt: at most one call, finished within `terms.timeout_s`.

        Every external failure is an `Outcome`, never an exception. The outcome contains no secret.
        """
        ...
