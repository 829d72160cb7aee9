"""Pins of a step: the policy versions that required it, and the integration version of its action.

Both are locked while somebody decides on the step. A change of a pinned version waits for that decision to commit;
after the change every decision is refused until the step has been evaluated again.
"""

from __future__ import annotations

import uuid
from typing import Final, NamedTuple

from django.db import connection

from integrations.configuration.configure import RE_EVALUATE_FOR_INTEGRATIONS
from integrations.models import Execution
from policies.publication.in_force import RE_EVALUATE_FOR_POLICIES
from threada_site.database.sets.shared_reads import shared
from threada_site.jobs.enqueue import enqueue
from threada_site.kernel import errors
from workitems.models import DecisionStep

_LOCK: Final = """
    WITH integration AS (
        SELECT i.current_version_id = v.id AS is_current
          FROM integrations_integration i
          JOIN integrations_integrationversion v ON v.tenant_id = i.tenant_id AND v.integration_id = i.id
         WHERE v.tenant_id = $1::uuid AND v.id = $2::uuid FOR SHARE OF i),
    versions AS (
        SELECT status = 'published' AND superseded_at IS NULL AS takes_votes FROM policies_policyversion
         WHERE tenant_id = $1::uuid AND id = ANY($3::uuid[]) ORDER BY id FOR SHARE)
    SELECT (SELECT is_current FROM integration), (SELECT bool_and(takes_votes) FROM versions)
"""


class _Pins(NamedTuple):
    integration_is_current: bool
    policies_take_votes: bool


def require_current_pins(step: DecisionStep, execution: Execution | None) -> None:
    """Lock the pins of a step until the transaction ends. Raise `StepClosed` if one has changed."""
    pins = _lock_pins(step, execution)
    if not pins.integration_is_current:
        raise errors.StepClosed("The integration was changed; the action is being decided again over a new envelope.")
    if not pins.policies_take_votes:
        raise errors.StepClosed("The policy that asked for this was retired or replaced; it is being decided again.")


def re_evaluate_if_outdated(step: DecisionStep, execution: Execution | None) -> None:
    """Enqueue the re-evaluation of a step that is being opened, if a pin changed in the meantime.

    The job of that change may have run already, before it could see this step.
    """
    pins = _lock_pins(step, execution)
    if execution is not None and not pins.integration_is_current:
        version = str(execution.integration_version_id)
        enqueue(RE_EVALUATE_FOR_INTEGRATIONS, tenant_id=step.tenant_id, integration_version_ids=[version])
    elif not pins.policies_take_votes:
        named = sorted(map(str, step.policy_version_ids))
        enqueue(RE_EVALUATE_FOR_POLICIES, tenant_id=step.tenant_id, policy_version_ids=named)


def _lock_pins(step: DecisionStep, execution: Execution | None) -> _Pins:
    """Lock the integration and the pinned policy versions until the transaction ends. Return whether they still apply.

    Activating another integration version, retiring a policy version, and publishing one with `applies_to_open` wait
    for these locks; later votes see the change. So a vote is either committed before the change, or refused.
    """
    if execution is None and not step.policy_version_ids:
        return _Pins(integration_is_current=True, policies_take_votes=True)
    version_id = execution.integration_version_id if execution else None
    pinned = tuple(sorted(step.policy_version_ids))
    return shared(("pins", step.tenant_id, version_id, pinned), lambda: _lock(step.tenant_id, version_id, pinned))


def _lock(tenant_id: uuid.UUID, version_id: uuid.UUID | None, pinned: tuple[uuid.UUID, ...]) -> _Pins:
    with connection.prepared_cursor() as cursor:  # type: ignore[attr-defined]
        cursor.execute(_LOCK, [tenant_id, version_id, list(pinned)])
        is_current, takes_votes = cursor.fetchone()
    return _Pins(version_id is None or bool(is_current), takes_votes is not False)
