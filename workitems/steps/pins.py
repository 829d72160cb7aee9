"""Pins of a step: the policy versions that required it, and the integration version of its action.

Both are locked while somebody decides on the step. A change of a pinned version waits for that decision to commit;
after the change every decision is refused until the step has been evaluated again.
"""

from __future__ import annotations

from integrations import selectors as integration_selectors
from integrations.configuration.configure import RE_EVALUATE_FOR_INTEGRATIONS
from integrations.models import Execution
from policies.locks import lock_pins
from policies.publication.in_force import RE_EVALUATE_FOR_POLICIES
from threada_site.jobs.enqueue import enqueue
from threada_site.kernel import errors
from workitems.models import DecisionStep


def require_current_pins(step: DecisionStep, execution: Execution | None) -> None:
    """Lock the pins of a step until the transaction ends. Raise `StepClosed` if one has changed."""
    if not _lock_integration(execution):
        raise errors.StepClosed("The integration was changed; the action is being decided again over a new envelope.")
    if not lock_pins(step.policy_version_ids, tenant_id=step.tenant_id):
        raise errors.StepClosed("The policy that asked for this was retired or replaced; it is being decided again.")


def re_evaluate_if_outdated(step: DecisionStep, execution: Execution | None) -> None:
    """Enqueue the re-evaluation of a step that is being opened, if a pin changed in the meantime.

    The job of that change may have run already, before it could see this step.
    """
    if execution is not None and not _lock_integration(execution):
        version = str(execution.integration_version_id)
        enqueue(RE_EVALUATE_FOR_INTEGRATIONS, tenant_id=step.tenant_id, integration_version_ids=[version])
    elif not lock_pins(step.policy_version_ids, tenant_id=step.tenant_id):
        pins = sorted(map(str, step.policy_version_ids))
        enqueue(RE_EVALUATE_FOR_POLICIES, tenant_id=step.tenant_id, policy_version_ids=pins)


def _lock_integration(execution: Execution | None) -> bool:
    return execution is None or integration_selectors.lock_configuration(
        execution.integration_version_id, tenant_id=execution.tenant_id
    )
