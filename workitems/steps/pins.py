"""What a step pins: the policy versions that asked for it, and the integration version its action was sealed over.

Both are held while a decision is taken on the step. Whoever changes them waits for that decision to commit, and every
decision after the change is refused, until the step has been decided again: nothing slips through in between.
"""

from __future__ import annotations

from integrations import selectors as systems
from integrations.models import Execution
from integrations.services.configure import RESEAL as RESEAL_EXECUTIONS
from policies.services.locks import lock_pins
from policies.services.publishing import RESEAL
from threada_site.jobs.enqueue import enqueue
from threada_site.kernel import errors
from workitems.models import DecisionStep


def require_current_pins(step: DecisionStep, execution: Execution | None) -> None:
    """Hold what a step pins until the transaction ends. Raises `StepClosed` when it has been overtaken."""
    if not _lock_integration(execution):
        raise errors.StepClosed("The integration was changed; the action is being sealed and decided again.")
    if not lock_pins(step.policy_version_ids, tenant_id=step.tenant_id):
        raise errors.StepClosed("The policy that asked for this was retired or replaced; it is being decided again.")


def re_evaluate_if_outdated(step: DecisionStep, execution: Execution | None) -> None:
    """Have a step that is being opened decided again when what it pins changed after it was decided upon.

    The job that looked for steps to decide again may have run already: it could not see this one.
    """
    if execution is not None and not _lock_integration(execution):
        version = str(execution.integration_version_id)
        enqueue(RESEAL_EXECUTIONS, tenant_id=step.tenant_id, integration_version_ids=[version])
    elif not lock_pins(step.policy_version_ids, tenant_id=step.tenant_id):
        pins = sorted(map(str, step.policy_version_ids))
        enqueue(RESEAL, tenant_id=step.tenant_id, policy_version_ids=pins)


def _lock_integration(execution: Execution | None) -> bool:
    return execution is None or systems.lock_configuration(
        execution.integration_version_id, tenant_id=execution.tenant_id
    )
