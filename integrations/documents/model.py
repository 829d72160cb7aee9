"""A parsed and validated `kind: Integration` document."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from integrations.attempts.retry import RetryPolicy
from integrations.documents.templates import Template
from integrations.secrets.references import SecretReference
from integrations.transport.urls import Target
from threada_site.kernel.errors import UnknownAction


@dataclass(frozen=True, slots=True)
class Limits:
    """Limits of calls: at most `concurrency` at once, at most `calls` started within `per_s` seconds; None is
    unlimited.

    The breaker opens after `failures` in a row and rests for `rest_s`.
    """

    concurrency: int | None = None
    calls: int | None = None
    per_s: float = 1.0
    failures: int = 10
    backoff_s: float = 30.0

    @property
    def are_unbounded(self) -> bool:
        """Return True if neither the number nor the rate of calls is limited."""
        return self.concurrency is None and self.calls is None


UNBOUNDED: Final = Limits()


@dataclass(frozen=True, slots=True)
class Authentication:
    """Authentication of calls, with secrets by reference.

    Only `basic` has a `username`, only `header` a `name`. The secret of `mtls` is the private key of `certificate`. The
    one of `oauth2` is that of `client`, and is sent to its `token_url` alone.
    """

    scheme: Literal["bearer", "basic", "header", "mtls", "oauth2"]
    secret: SecretReference
    username: str | None = None
    name: str | None = None
    certificate: SecretReference | None = None
    client: Mapping[str, Any] | None = None

    @property
    def token_url(self) -> str:
        """Return the address of the token endpoint, or "" without one."""
        return "" if self.client is None else self.client["token_url"]

    @property
    def references(self) -> tuple[SecretReference, ...]:
        """Return every secret that a call reads."""
        return (self.secret,) if self.certificate is None else (self.certificate, self.secret)

    def as_json(self) -> dict[str, Any]:
        """Return the authentication as it appears in the request of the envelope."""
        if self.certificate is not None:
            certificate, private_key = self.certificate.as_json(), self.secret.as_json()
            return {"scheme": self.scheme, "certificate": certificate, "private_key": private_key}
        if self.client is not None:
            return {"scheme": self.scheme, "client_secret": self.secret.as_json(), **self.client}
        named = {"username": self.username, "name": self.name}
        given = {field: value for field, value in named.items() if value is not None}
        return {"scheme": self.scheme, "secret": self.secret.as_json(), **given}


@dataclass(frozen=True, slots=True)
class HttpPart:
    """One part of a form: a text, or a file of the payload."""

    name: str
    value: Template | None = None
    file: Template | None = None


@dataclass(frozen=True, slots=True)
class HttpCall:
    """The request of an `http` action, as templates.

    `path` is appended to the integration's `base_url`. Query and headers are sorted by name. `body` is None if there is
    none; a body of `null` is a template. Instead of a body there can be the fields of a form, a file, or the parts of a
    multipart form. `succeeds_when` is a checked CEL condition over the answer, or None.
    """

    method: str
    path: Template
    query: tuple[tuple[str, Template], ...] = ()
    headers: tuple[tuple[str, Template], ...] = ()
    body: Template | None = None
    form: Template | None = None
    file: Template | None = None
    multipart: tuple[HttpPart, ...] = ()
    succeeds_when: str | None = None


@dataclass(frozen=True, slots=True)
class WorkflowCall:
    """An action of the `workflow` connector on the item itself.

    `question` (for the approver) and `approvals` (the rule as written, parsed elsewhere) belong to `request_approval`.
    `to` (the assignee) belongs to `assign`.
    """

    operation: Literal["request_approval", "assign", "close"]
    question: Template | None = None
    approvals: Mapping[str, Any] | None = None
    to: Template | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ActionDocument:
    """One named operation, with defaults from its integration.

    `call` is the value parsed by the connector's grammar. `sha256` is the digest of the action's spec as written.
    `resolves`: success resolves the work item. `undo` names the action of the same integration that reverts this one.
    `undo_after`: template of the time after which Threada starts the undo by itself; None if it never does.
    `waits_for_callback_s`: time limit of the receiver's callback in seconds; None if the response contains the result.
    """

    slug: str
    call: object
    sha256: str
    idempotent: bool
    timeout_s: float
    retry: RetryPolicy
    resolves: bool = False
    undo: str | None = None
    undo_after: Template | None = None
    waits_for_callback_s: float | None = None
    input_schema: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class IntegrationDocument:
    """A configured external system.

    `base_url` has no trailing slash and is None for connectors without a URL. `origin` is None for connectors that make
    no call. `sent_to` is the address that secrets are sent to, or "". `settings` belongs to the connector.
    """

    connector: str
    base_url: str | None = None
    origin: Target | None = None
    sent_to: str = ""
    auth: Authentication | None = None
    secrets: tuple[SecretReference, ...] = ()
    callback_secrets: tuple[SecretReference, ...] = ()
    settings: Any = None
    limits: Limits = UNBOUNDED
    actions: Mapping[str, ActionDocument] = field(default_factory=dict)

    def action(self, slug: str) -> ActionDocument:
        """Return the action with that name. Raises `UnknownAction`."""
        if slug not in self.actions:
            known = ", ".join(sorted(self.actions))
            raise UnknownAction(f"The integration has no action {slug[:63]!r}. It has: {known}.")
        return self.actions[slug]

    @property
    def connection_url(self) -> str | None:
        """Return a URL with the host and port of connections, independent of the protocol, or None."""
        return self.base_url or (f"{self.origin.scheme}://{self.origin.authority}" if self.origin else None)

    @property
    def secret_references(self) -> tuple[SecretReference, ...]:
        """Return every secret that the document names."""
        return (*self.sent_references, *self.callback_secrets)

    @property
    def sent_references(self) -> tuple[SecretReference, ...]:
        """Return every secret that calls read. Each must be allowed for `address_of` it."""
        own = () if self.auth is None else self.auth.references
        return (*own, *self.secrets)

    def address_of(self, reference: SecretReference) -> str:
        """Return the address that a secret is sent to: the token endpoint for the one of its client."""
        is_clients = self.auth is not None and self.auth.token_url and reference == self.auth.secret
        return self.auth.token_url if self.auth and is_clients else self.sent_to
