"""What a `kind: Integration` document says, read and checked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from integrations.limits import UNBOUNDED, Limits
from integrations.retry import RetryPolicy
from integrations.secrets import SecretReference
from integrations.templates import Template
from integrations.transport.urls import Target
from threada_site.kernel.errors import UnknownAction


@dataclass(frozen=True, slots=True)
class Authentication:
    """How a call proves itself. The secret is a reference; `username` belongs to `basic` alone."""

    scheme: Literal["bearer", "basic"]
    secret: SecretReference
    username: str | None = None

    def as_json(self) -> dict[str, Any]:
        """As it stands in the sealed request."""
        named = {} if self.username is None else {"username": self.username}
        return {"scheme": self.scheme, "secret": self.secret.as_json(), **named}


@dataclass(frozen=True, slots=True)
class HttpCall:
    """The request of an `http` action, as templates. `path` is appended to the integration's `base_url`; query and
    headers are in the order of their names; `body` is None when there is none (a body of `null` is a template)."""

    method: str
    path: Template
    query: tuple[tuple[str, Template], ...] = ()
    headers: tuple[tuple[str, Template], ...] = ()
    body: Template | None = None


@dataclass(frozen=True, slots=True)
class WorkflowCall:
    """An action of the `workflow` connector upon the item itself.

    `question` and `approvals` belong to `request_approval`: what the approver is asked, in words, and the approval rule
    as written (the one who reads rules checks it). `to` belongs to `assign`: whom.
    """

    operation: Literal["request_approval", "assign", "close"]
    question: Template | None = None
    approvals: Mapping[str, Any] | None = None
    to: Template | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ActionDocument:
    """One named operation. What the action leaves out is filled in from its integration.

    `call` is what the connector's grammar read. `sha256` is the digest of the action's spec as written; `resolves`:
    success resolves the work item; `undo` names the action of the same integration that takes this one back;
    `waits_for_callback_s`: how long its receiver may take to say what came of it, None where the answer to the call
    says it.
    """

    slug: str
    call: object
    sha256: str
    idempotent: bool
    timeout_s: float
    retry: RetryPolicy
    resolves: bool = False
    undo: str | None = None
    waits_for_callback_s: float | None = None
    input_schema: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class IntegrationDocument:
    """A configured external system. `base_url` is without a slash at its end and None where nobody is called by URL,
    `origin` is None where nobody is called at all. `settings` is the connector's own."""

    connector: str
    base_url: str | None = None
    origin: Target | None = None
    auth: Authentication | None = None
    secrets: tuple[SecretReference, ...] = ()
    callback_secrets: tuple[SecretReference, ...] = ()
    settings: Any = None
    limits: Limits = UNBOUNDED
    actions: Mapping[str, ActionDocument] = field(default_factory=dict)

    def action(self, slug: str) -> ActionDocument:
        """The action of that name. Raises `UnknownAction`."""
        if slug not in self.actions:
            known = ", ".join(sorted(self.actions))
            raise UnknownAction(f"The integration has no action {slug[:63]!r}. It has: {known}.")
        return self.actions[slug]

    @property
    def connection_url(self) -> str | None:
        """A URL of the host and port that connections go to, whatever is spoken there."""
        return self.base_url or (f"{self.origin.scheme}://{self.origin.authority}" if self.origin else None)

    @property
    def secret_references(self) -> tuple[SecretReference, ...]:
        """Every secret that calls will read, for the check against `THREADA_SECRET_REFS`."""
        own = () if self.auth is None else (self.auth.secret,)
        return (*own, *self.secrets, *self.callback_secrets)
