"""Test calls: one real call of an action, asked for by a person who manages the integration, outside of any case.

A test call executes what no policy decided and nobody approved, so it is limited: the current version only, so that
under four eyes a second person accepted it; no frozen integration; and a call that may change something at the receiver
only while no workflow allows the action, never under four eyes, and by somebody who may execute on the integration.
Afterwards a work item is the way to call it.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from django.conf import settings
from django.utils.module_loading import import_string

from integrations.attempts.failures import FailureClass, TransportFailure
from integrations.attempts.outcomes import Outcome
from integrations.configuration import simulation
from integrations.configuration.parsed_documents import document_of, secret_access
from integrations.connectors import connector_named
from integrations.connectors.protocol import CallTerms, OutboundConnector
from integrations.freezes.block import freeze_on, freezes_in_force
from integrations.freezes.scope import Place
from integrations.models import Integration, IntegrationTest
from integrations.secrets.access_tokens import AccessTokens
from integrations.transport import EgressPolicy
from threada_site.kernel import clock, errors, ids
from threada_site.kernel.clock import rfc3339
from threada_site.kernel.context import ActingContext, Scope
from threada_site.tenancy.four_eyes import POLICY_FOUR_EYES, is_four_eyes_required
from threada_site.tenancy.models import Tenant

_WITHOUT_EFFECTS: Final = frozenset({"GET", "HEAD"})
_SAMPLE_ITEM: Final = "wi_test"
LONGEST_CALL_S: Final = 30.0
"""Longest duration of a test call; the lease of a test is longer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AskedCall:
    """Action of a test call, with the payload and the input of an imagined work item."""

    action: str
    payload: Mapping[str, Any]
    input: Mapping[str, Any]
    accepts_effects: bool = False


@dataclass(frozen=True, slots=True)
class PreparedCall:
    """Exact request of a test call, with secrets by reference. `has_effects`: the receiver may change something."""

    request: dict[str, Any]
    has_effects: bool
    is_simulated: bool


def prepared_call(integration: Integration, asked: AskedCall, *, ctx: ActingContext) -> PreparedCall:
    """Return the request of a test call. Nothing is sent.

    Raise `PersonRequired`, `PermissionDenied`, `Conflict` while it is frozen, `UnknownAction`, `ConnectorDisabled`,
    `InvalidRequest` for a call with effects that was not chosen, and `ExpressionFailed` for a template that needs other
    facts.
    """
    if not ctx.is_person:
        raise errors.PersonRequired("Test calls are asked for by people.")
    if not ctx.allows(Scope.INTEGRATIONS_MANAGE, integration=integration.id):
        raise errors.PermissionDenied("You do not hold integrations:manage here.")
    version = integration.current_version
    if version is None:
        raise errors.NotFound
    document = document_of(version)
    action = document.action(asked.action)
    simulation.check_requested(document.connector)
    connector = connector_named(document.connector)
    if not isinstance(connector, OutboundConnector):
        raise errors.InvalidRequest("This integration changes work items itself and makes no calls.")
    if freeze_on(freezes_in_force(ctx.tenant_id), Place("", integration.slug, asked.action, ctx.principal_id)):
        raise errors.Conflict("The integration is frozen. No call is made until the freeze is lifted.")
    request = connector.build_request(document, action, _facts(integration, asked, ctx=ctx))
    has_effects = may_have_effects(request, document.connector)
    if has_effects:
        _check_effects(integration, asked, ctx=ctx)
    return PreparedCall(request, has_effects, simulation.is_simulated(document.connector))


def _check_effects(integration: Integration, asked: AskedCall, *, ctx: ActingContext) -> None:
    """Raise the refusal of a call that may change something at the receiver, if there is one."""
    forbidden = why_no_effects(ctx.tenant_id, asked.action)
    if forbidden:
        raise errors.PermissionDenied(forbidden)
    if not ctx.allows(Scope.ACTIONS_EXECUTE, integration=integration.id):
        raise errors.PermissionDenied("A test call that may change something needs actions:execute on the integration.")
    if not asked.accepts_effects:
        raise errors.InvalidRequest("This call may change something at the receiver. Choose that it is sent anyway.")


def why_no_effects(tenant_id: uuid.UUID, action: str) -> str:
    """Return why nobody in the tenant may make a test call of the action that changes something; empty if some may."""
    if is_four_eyes_required(tenant_id, POLICY_FOUR_EYES):
        return "Under four eyes, test calls must not change anything: choose a GET action."
    if action in import_string(settings.THREADA_ALLOWED_ACTIONS)(tenant_id):
        return f"A workflow allows {action}, so its policies decide about every call. Make a request instead."
    return ""


def may_have_effects(request: Mapping[str, Any], connector: str) -> bool:
    """Return True if the receiver of a request may change something."""
    return not simulation.is_simulated(connector) and request.get("method") not in _WITHOUT_EFFECTS


def _facts(integration: Integration, asked: AskedCall, *, ctx: ActingContext) -> dict[str, Any]:
    """Return the facts of an imagined work item. The time is the full hour, so that the request stays as confirmed."""
    person = ids.public_id(ids.PRINCIPAL, ctx.principal_id)
    hour = clock.now().replace(minute=0, second=0, microsecond=0)
    item = {
        "id": _SAMPLE_ITEM, "workflow": "", "channel": "", "payload": dict(asked.payload), "confidence": 1.0,
        "risk_flags": [], "requester": person, "requester_groups": [],
        "data_class": "internal", "version": 1,
    }  # fmt: skip
    context = {
        "point": "execute", "action": asked.action, "integration": integration.slug, "actor": person,
        "actor_kind": "human", "roles": [], "now": rfc3339(hour),
    }  # fmt: skip
    return {"item": item, "ctx": context, "input": dict(asked.input), "undoes": {}}


def make_call(test: IntegrationTest, tenant: Tenant) -> Outcome:
    """Make the call of a test once. Call it outside of any transaction. Raises nothing."""
    version = test.integration_version
    document = document_of(version)
    connector = connector_named(document.connector)
    try:
        simulation.check_before_call(document.connector)
    except TransportFailure as failure:
        return Outcome.of_failure(failure)
    if not isinstance(connector, OutboundConnector):
        return Outcome(failure=FailureClass.ENVELOPE_MISMATCH, detail="The integration makes no calls.")
    access = secret_access(version, tenant=tenant.slug)
    terms = CallTerms(
        idempotency_key=f"test-{test.public_id}",
        timeout_s=min(document.action(test.action).timeout_s, LONGEST_CALL_S),
        egress=EgressPolicy(settings.THREADA_EGRESS_ALLOW),
        user_agent=f"Threada/{settings.THREADA_VERSION}",
        secrets=access,
        tokens=AccessTokens(access),
    )
    return connector.call(test.request or {}, terms)
