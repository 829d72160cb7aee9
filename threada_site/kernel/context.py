"""Acting context: principal, tenant and effective permissions. Immutable, created once per request."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Final

from threada_site.kernel import ids


class PrincipalKind(StrEnum):
    """Kind of a principal. A vote of an agent never counts; the kind belongs to the principal, not to its token."""

    HUMAN = "human"
    SERVICE = "service"
    AGENT = "agent"


class EntryPoint(StrEnum):
    """Entry point of an action."""

    API = "api"
    MCP = "mcp"
    CONSOLE = "console"
    COMMAND = "command"
    JOB = "job"


class Visibility(StrEnum):
    """Work items that a principal sees: those of the tenant, or only its own and those that name it."""

    TENANT = "tenant"
    OWN = "own"


class AuthenticationMethod(StrEnum):
    """Method by which the acting principal was authenticated.

    A `PERSONAL_TOKEN` was issued by its owner, an `OPERATOR_TOKEN` by the operator's command, an `ISSUED_TOKEN` by a
    steward for a service or an agent. A `LINK` is a one-time link in a message. `IDENTITY_PROVIDER` is a session that
    an identity provider opened, `SESSION` one with a password. A `WORKLOAD` token (JWT) was signed by a trusted issuer.
    """

    NONE = "none"
    SESSION = "session"
    IDENTITY_PROVIDER = "identity_provider"
    PERSONAL_TOKEN = "personal_token"  # noqa: S105
    OPERATOR_TOKEN = "operator_token"  # noqa: S105
    ISSUED_TOKEN = "issued_token"  # noqa: S105
    LINK = "link"
    WORKLOAD = "workload"
    SYSTEM = "system"


@dataclass(frozen=True, slots=True, kw_only=True)
class Workload:
    """Token of a trusted issuer: the id of the trusted issuer's document, and the claims `iss`, `sub` and `jti`."""

    trusted_issuer: str
    issuer: str
    subject: str
    token_id: str | None
    expires_at: datetime

    def as_json(self) -> dict[str, str | None]:
        """Return the token as receipts and votes contain it."""
        return {
            "trusted_issuer": self.trusted_issuer,
            "issuer": self.issuer,
            "subject": self.subject,
            "token_id": self.token_id,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Authentication:
    """Authentication of the acting principal, as stored with votes.

    `at` is the time of sign-in of a session. `issued_by` is the principal that issued the credential (None: the
    operator, or a session). `factors` names the factors of a session: `password`, later `passkey` or `provider`.
    `workload` names the token of a trusted issuer.
    """

    method: AuthenticationMethod = AuthenticationMethod.NONE
    at: datetime | None = None
    issued_by: uuid.UUID | None = None
    factors: tuple[str, ...] = ()
    workload: Workload | None = None

    @property
    def is_session(self) -> bool:
        """Return True for a session of the console, whoever signed the person in."""
        return self.method in (AuthenticationMethod.SESSION, AuthenticationMethod.IDENTITY_PROVIDER)


class Scope(StrEnum):
    """Permissions that a credential may ask for and a role may grant."""

    WORKITEMS_READ = "workitems:read"
    WORKITEMS_WRITE = "workitems:write"
    WORKITEMS_ON_BEHALF = "workitems:on_behalf"
    WORKFLOW_MANAGE = "workflow:manage"
    POLICIES_WRITE = "policies:write"
    POLICIES_PUBLISH = "policies:publish"
    DECISIONS_DECIDE = "decisions:decide"
    INTEGRATIONS_MANAGE = "integrations:manage"
    ACTIONS_EXECUTE = "actions:execute"
    ACTIONS_FREEZE = "actions:freeze"
    TELEMETRY_READ = "telemetry:read"
    IDENTITY_PROVISION = "identity:provision"
    CONFIGURATION_WRITE = "configuration:write"

    @property
    def codename(self) -> str:
        """Return the name of the object permission for this scope: `workitems:read` → `workitems_read`."""
        return self.value.replace(":", "_")


INSIDE_WORKFLOW_MANAGE: Final = frozenset(
    {Scope.POLICIES_WRITE, Scope.POLICIES_PUBLISH, Scope.DECISIONS_DECIDE, Scope.INTEGRATIONS_MANAGE}
)
ALL_SCOPES: Final = frozenset(Scope)
DOCUMENTED_SCOPES: Final = (
    Scope.WORKITEMS_READ,
    Scope.WORKITEMS_WRITE,
    Scope.WORKFLOW_MANAGE,
    Scope.ACTIONS_EXECUTE,
    Scope.TELEMETRY_READ,
)


def with_implied(scopes: frozenset[Scope]) -> frozenset[Scope]:
    """Return `scopes` with the scopes they include: `workflow:manage` includes four narrower ones."""
    return scopes | INSIDE_WORKFLOW_MANAGE if Scope.WORKFLOW_MANAGE in scopes else scopes


@dataclass(frozen=True, slots=True)
class ObjectGrants:
    """Scopes on single objects instead of the whole tenant: id of the workflow or integration → scopes."""

    workflows: dict[uuid.UUID, frozenset[Scope]] = field(default_factory=dict)
    integrations: dict[uuid.UUID, frozenset[Scope]] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.workflows or self.integrations)


SYSTEM_PRINCIPAL_ID: Final = uuid.UUID(int=0)
REAUTHENTICATION_LIFETIME: Final = timedelta(minutes=5)
"""Time after a re-authentication within which step-up asks for no other."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ActingContext:
    """One principal acting in one tenant.

    `scopes` are effective: what the credential asked for, cut by what the principal's roles grant on the tenant.
    `grants` are the narrower scopes on single workflows and integrations, cut the same way. `visibility` limits what
    `workitems:read` on the tenant shows. `reauthenticated_at` is the time of the last re-authentication in this console
    session; a token never re-authenticates. `acts_with_step_up`: actions of stewards need a recent one, because this is
    a session in a tenant that requires second factors. `change_set_id` names the change set that an independent person
    publishes with this context, and `confirmed_change` is its change. `always_propose` makes every operation that can
    need a second person describe its change instead of carrying it out. `collected_changes` collects these descriptions
    while the operations are carried out, for a plan that is rolled back; None collects nothing. `revision` names the
    state of the files that configuration is applied from; versions keep it. `source` is the text of the document that
    is put, which is stored for people. `reason` is the reason that the person gave for this change; its receipts
    contain a commitment to it. `recorded_receipts` collects the public id and the bytes of every receipt that is
    written with this context; None collects nothing.
    """

    tenant_id: uuid.UUID
    tenant_slug: str
    principal_id: uuid.UUID
    principal_kind: PrincipalKind
    principal_name: str
    roles: frozenset[str]
    groups: frozenset[str] = frozenset()
    scopes: frozenset[Scope]
    grants: ObjectGrants = field(default_factory=ObjectGrants)
    visibility: Visibility
    credential_id: uuid.UUID | None = None
    entry_point: EntryPoint
    correlation_id: str
    authentication: Authentication = field(default_factory=Authentication)
    reauthenticated_at: datetime | None = None
    acts_with_step_up: bool = False
    change_set_id: uuid.UUID | None = None
    confirmed_change: Any = field(default=None, compare=False, repr=False)
    always_propose: bool = False
    collected_changes: list[Any] | None = field(default=None, compare=False, repr=False)
    revision: str = ""
    source: str = field(default="", compare=False, repr=False)
    reason: str = field(default="", compare=False, repr=False)
    recorded_receipts: list[tuple[str, bytes]] | None = field(default=None, compare=False, repr=False)

    def recently_reauthenticated(self, now: datetime) -> bool:
        """Return True if the person re-authenticated within the last five minutes."""
        return self.reauthenticated_at is not None and now - REAUTHENTICATION_LIFETIME <= self.reauthenticated_at <= now

    @property
    def is_system(self) -> bool:
        """Return True if Threada itself acts, for example in an intake decision or a sweep."""
        return self.principal_id == SYSTEM_PRINCIPAL_ID

    @property
    def is_person(self) -> bool:
        """Return True if a person acts. Only people satisfy a four-eyes rule."""
        return self.principal_kind is PrincipalKind.HUMAN and not self.is_system

    @property
    def is_machine(self) -> bool:
        """Return True if a service or an agent acts."""
        return not (self.is_person or self.is_system)

    @property
    def actor(self) -> str:
        """Return the public id of the principal, or `system`."""
        return "system" if self.is_system else ids.public_id(ids.PRINCIPAL, self.principal_id)

    def allows(self, scope: Scope, *, workflow: uuid.UUID | None = None, integration: uuid.UUID | None = None) -> bool:
        """Return True if the context holds `scope` on the tenant, or on the given workflow or integration."""
        if scope in self.scopes:
            return True
        if workflow is not None and scope in self.grants.workflows.get(workflow, ()):
            return True
        return integration is not None and scope in self.grants.integrations.get(integration, ())

    def has_scope_anywhere(self, scope: Scope) -> bool:
        """Return True if the context holds `scope` on the tenant or on at least one object."""
        return scope in self.scopes or any(
            scope in scopes for scopes in (*self.grants.workflows.values(), *self.grants.integrations.values())
        )

    def workflows_with(self, scope: Scope) -> frozenset[uuid.UUID] | None:
        """Return the workflows on which `scope` is held; None if it is held on the whole tenant."""
        return None if scope in self.scopes else self.granted_workflows(scope)

    def granted_workflows(self, scope: Scope) -> frozenset[uuid.UUID]:
        """Return the workflows on which `scope` is granted, whether or not it is held on the tenant."""
        return frozenset(workflow for workflow, scopes in self.grants.workflows.items() if scope in scopes)

    @property
    def row_visibility(self) -> Visibility:
        """Return the visibility that row-level security enforces on reads.

        Grants of `workitems:read` on workflows widen it; selectors then narrow to own cases and those workflows.
        """
        return Visibility.TENANT if self.granted_workflows(Scope.WORKITEMS_READ) else self.visibility


def system_context(
    *, tenant_id: uuid.UUID, tenant_slug: str, correlation_id: str, entry_point: EntryPoint = EntryPoint.JOB
) -> ActingContext:
    """Return the context of Threada itself in a tenant. It holds every scope and is not a person."""
    return ActingContext(
        tenant_id=tenant_id,
        tenant_slug=tenant_slug,
        principal_id=SYSTEM_PRINCIPAL_ID,
        principal_kind=PrincipalKind.SERVICE,
        principal_name="system",
        roles=frozenset(),
        scopes=ALL_SCOPES,
        visibility=Visibility.TENANT,
        authentication=Authentication(method=AuthenticationMethod.SYSTEM),
        entry_point=entry_point,
        correlation_id=correlation_id,
    )
