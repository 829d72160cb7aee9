"""Envelope of an action: the exact request that is approved, built from the current configuration."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from integrations import selectors as integration_selectors
from integrations.configuration import simulation
from integrations.configuration.parsed_documents import document_of
from integrations.connectors import connector_named
from integrations.documents import ActionDocument, IntegrationDocument
from integrations.documents.timed_undo import timed_undo
from integrations.executions.envelope import BuiltEnvelope, build_envelope
from integrations.executions.receiver_key import receiver_key
from integrations.models import Execution, Integration, IntegrationVersion
from integrations.tools.pins import with_pin
from policies.deciding.stored_decision import stored_facts
from policies.documents import payload_schema as payloads
from policies.language.facts import Point, build_facts
from policies.models import PolicyDecision
from policies.selectors import workflow_document
from threada_site.kernel import clock, errors, ids
from threada_site.kernel.context import ActingContext
from threada_site.kernel.errors import FieldError
from threada_site.kernel.json.canonical import canonical_sha256
from workitems.attachments.access import check_request_files
from workitems.executions.undo import undone_facts
from workitems.items.actors import Actor
from workitems.models import WorkItem
from workitems.steps.opening_and_closing import envelope_evidence, envelope_salt, pinned_versions


@dataclass(frozen=True, slots=True)
class Configured:
    """Current configuration of an action."""

    integration: Integration
    version: IntegrationVersion
    document: IntegrationDocument
    action: ActionDocument

    @property
    def is_simulated(self) -> bool:
        return simulation.is_simulated(self.document.connector)


def configured_action(
    item: WorkItem, integration: Integration | None, *, named: str, action: str, ctx: ActingContext
) -> Configured:
    """Return the configuration of an action that exists and that the workflow of the item allows.

    `named` is the integration that the caller named, for error messages. Raises `UnknownIntegration`, `UnknownAction`,
    `ActionNotAllowed`, `ConnectorDisabled`.
    """
    if integration is None or integration.current_version is None:
        raise errors.UnknownIntegration(
            f"There is no integration {named!r} here.",
            errors=[FieldError("/integration_id", "names no integration", "unknown")],
        )
    document = document_of(integration.current_version)
    if action not in document.actions:
        raise errors.UnknownAction(
            f"The integration {named} has no action {action!r}.",
            errors=[FieldError("/action_id", "names no action of this integration", "unknown")],
        )
    allowed = workflow_document(item.workflow_version_id, ctx=ctx).actions
    if action not in allowed:
        raise errors.ActionNotAllowed(
            f"The workflow {item.workflow} does not allow the action {action}.",
            errors=[FieldError("/action_id", "is not among the workflow's actions", "not_allowed")],
        )
    found = document.action(action)
    if found.undo_after is not None and found.undo not in allowed:
        raise errors.ActionNotAllowed(
            f"{action} ends by itself with {found.undo}, which the workflow {item.workflow} does not allow. "
            f"Add {found.undo} to the actions of the workflow.",
            errors=[FieldError("/action_id", "has an undo that is not among the workflow's actions", "not_allowed")],
        )
    simulation.check_requested(document.connector)
    return Configured(integration, integration.current_version, document, found)


def configured_now(item: WorkItem, execution: Execution, *, ctx: ActingContext) -> Configured:
    """Return the current configuration of the action of an execution.

    Raises the errors of `configured_action` and `check_input`.
    """
    integration = integration_selectors.integration_by_slug(execution.integration, ctx=ctx)
    configured = configured_action(item, integration, named=execution.integration, action=execution.action, ctx=ctx)
    check_input(configured, execution.input)
    return configured


def check_input(configured: Configured, value: object) -> None:
    """Raise `InvalidRequest` unless the input matches the `input_schema` of the action."""
    schema = configured.action.input_schema
    if schema is None:
        return
    try:
        problems = payloads.validate(schema, value, pointer="/input")
    except errors.DocumentInvalid as unusable:
        raise errors.InvalidRequest(
            f"The action's input_schema cannot be used; who manages {configured.integration.slug} has to fix it.",
            errors=unusable.errors,
        ) from None
    if problems:
        raise errors.InvalidRequest("The input does not fit the action. Fix the fields named.", errors=problems)


def build_action_envelope(
    item: WorkItem, execution: Execution, decision: PolicyDecision, configured: Configured, *, actor: Actor
) -> BuiltEnvelope:
    """Return the envelope of an action that `decision` permits, with the exact request that its connector builds.

    Secrets are contained by reference only. Raises `ExpressionFailed`.
    """
    facts = action_facts(
        item,
        action=execution.action,
        integration=execution.integration,
        actor=actor,
        input_=execution.input,
        requester_groups=stored_facts(decision)["item"]["requester_groups"],
    ) | {"undoes": undone_facts(execution)}
    request = connector_named(configured.document.connector).build_request(
        configured.document, configured.action, facts
    )
    check_request_files(item, request)
    request = with_pin(
        configured.integration,
        configured.document,
        request,
        workflow=item.workflow,
        payload=item.payload,
        validate=partial(payloads.validate, pointer="/arguments"),
    )
    pins = pinned_versions(decision)
    return build_request_envelope(
        item,
        execution,
        pins,
        request,
        action=configured.action,
        connector=configured.document.connector,
        undo_after=timed_undo(configured.action, facts),
    )


def action_facts(
    item: WorkItem,
    *,
    action: str,
    integration: str,
    actor: Actor,
    input_: Mapping[str, Any],
    requester_groups: Sequence[str],
) -> dict[str, Any]:
    """Return the facts that templates of an action read."""
    return build_facts(
        point=Point.EXECUTE,
        now=clock.now(),
        item_id=item.public_id,
        workflow=item.workflow,
        channel=item.channel,
        payload=item.payload,
        confidence=item.confidence,
        risk_flags=item.risk_flags,
        requester=ids.public_id(ids.PRINCIPAL, item.requester_id),
        requester_groups=requester_groups,
        data_class=item.data_class,
        version=item.version,
        action=action,
        integration=integration,
        actor=actor.id,
        actor_kind=actor.kind,
        roles=actor.roles,
        input=input_,
    )


def build_request_envelope(
    item: WorkItem,
    execution: Execution,
    pins: Iterable[uuid.UUID],
    request: Mapping[str, Any],
    *,
    action: ActionDocument,
    connector: str,
    undo_after: Mapping[str, str] | None,
) -> BuiltEnvelope:
    """Return the envelope of an existing request and `undo_after`, over the current state of all other values."""
    return build_envelope(
        salt=envelope_salt(item),
        work_item_id=item.public_id,
        item_version=item.version,
        payload_sha256=item.payload_sha256,
        policy_version_ids=[ids.public_id(ids.POLICY_VERSION, value) for value in pins],
        evidence=envelope_evidence(item),
        integration=execution.integration,
        integration_version_id=ids.public_id(ids.INTEGRATION_VERSION, execution.integration_version_id),
        connector=connector,
        action=execution.action,
        action_sha256=action.sha256,
        request=request,
        idempotency_key=receiver_key(execution.id),
        input_sha256=canonical_sha256(execution.input),
        idempotent=action.idempotent,
        resolves=action.resolves,
        undo_after=undo_after,
    )
