"""What a connector is. `http` is one; a package of your own may add another, see docs/connectors.md.

A connector has two moments. When an action is asked for, `build_request` renders it into the exact request as JSON,
which is sealed into the envelope that people approve: it holds no secret, only references, and asks nothing of the
outside. When the envelope is approved, an `OutboundConnector` is handed those sealed bytes' request again and carries
it out, outside any transaction, through `integrations.transport` alone. A connector whose actions concern the work item
itself (`workflow`) has no `call`: the service that settles the execution runs it inside its transaction.
"""

from __future__ import annotations

import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol, runtime_checkable

from integrations.attempt_outcomes import Outcome
from integrations.documents import ActionDocument, IntegrationDocument
from integrations.secrets import Secret, SecretReference, resolve
from integrations.transport import EgressPolicy, Network, SystemNetwork
from threada_site.kernel import clock


@dataclass(frozen=True, slots=True, kw_only=True)
class CallTerms:
    """What holds for one attempt, beside its sealed request.

    `idempotency_key` derives from the execution and is the same for every attempt. `timeout_s` bounds the attempt as a
    whole. `user_agent` is `Threada/<version>`. `traceparent` (W3C) is sent along when given. `now` answers the time,
    which a Retry-After date is held against. `tls` is None for public authorities alone. `stored` reads the tenant's
    own secrets by name, for the integration's host. `callback_url` is where a receiver says later what came of it.
    """

    idempotency_key: str
    timeout_s: float
    egress: EgressPolicy
    user_agent: str
    traceparent: str | None = None
    callback_url: str | None = None
    network: Network = field(default_factory=SystemNetwork)
    tls: ssl.SSLContext | None = None
    environ: Mapping[str, str] | None = field(default=None, repr=False)
    stored: Callable[[str], Secret] | None = field(default=None, repr=False)
    now: datetime = field(default_factory=clock.now)

    def secret(self, reference: SecretReference) -> Secret:
        """The secret that a reference names. Raises `TransportFailure` (`credential_unavailable`)."""
        if reference.source == "stored" and self.stored is not None:
            return self.stored(reference.name)
        return resolve(reference, self.environ)


class Connector(Protocol):
    """A kind of external system. Stateless: one instance serves every tenant, in several threads at once."""

    @property
    def name(self) -> str:
        """The word that documents write as `connector`."""
        ...

    def build_request(
        self, integration: IntegrationDocument, action: ActionDocument, facts: Mapping[str, Any]
    ) -> dict[str, Any]:
        """The exact request as I-JSON for the envelope, secrets by reference.

        `facts` holds `item`, `ctx` and `input`. The same arguments give the same request. Raises `ExpressionFailed`.
        """
        ...


@runtime_checkable
class OutboundConnector(Connector, Protocol):
    """A connector that carries its requests out of the process."""

    def call(self, request: Mapping[str, Any], terms: CallTerms) -> Outcome:
        """One attempt at a sealed request: exactly one call at most, ended within `terms.timeout_s`.

        Every failure of the outside is an `Outcome`, none an exception. The outcome holds no secret.
        """
        ...
