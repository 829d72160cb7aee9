"""Check that a vote refers to the envelope that is current now."""

from __future__ import annotations

from integrations import selectors as integration_selectors
from integrations.models import Envelope
from threada_site.kernel import errors
from threada_site.kernel.json.differences import difference
from threada_site.kernel.json.strict import parse_json
from workitems import selectors
from workitems.lifecycle import StepStatus
from workitems.models import DecisionStep, WorkItem


def require_current_envelope(item: WorkItem, step: DecisionStep, envelope_sha256: str) -> None:
    """Raise `EnvelopeChanged` unless `envelope_sha256` is the hash of the current envelope.

    For a superseded step the envelope of its successor is required, because the voter saw the old one. Steps that are
    closed otherwise are not checked here. The error contains the step and hash to decide on now, and the difference if
    the named envelope belongs to this item.
    """
    current: DecisionStep | None = step
    if step.status == StepStatus.SUPERSEDED:
        current = selectors.pending_step_of(item)
    elif step.status != StepStatus.PENDING:
        current = None
    if current is not None and envelope_sha256 != current.envelope_sha256:
        raise envelope_changed(item, current, envelope_sha256)


def envelope_changed(item: WorkItem, current: DecisionStep, named_sha256: str) -> errors.EnvelopeChanged:
    """Return the error for a decision that names an envelope other than that of `current`."""
    named = integration_selectors.envelope_of(item.id, named_sha256, tenant_id=item.tenant_id)
    return errors.EnvelopeChanged(
        "The envelope has changed. Read the step again, then vote.",
        current_decision_step_id=current.public_id,
        envelope_sha256=current.envelope_sha256,
        difference=_difference(named, current.envelope) if named else None,
    )


def _difference(named: Envelope, current: Envelope) -> dict[str, object]:
    return difference(parse_json(bytes(named.body)), parse_json(bytes(current.body))).as_json()
