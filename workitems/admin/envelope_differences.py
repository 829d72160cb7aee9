"""What changed since the version before: the envelope and payload that were superseded, against those of now."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import orjson

from policies.models import PolicyDecision
from threada_site.admin.fields import plainly
from threada_site.kernel.json.canonical import canonical_bytes
from threada_site.kernel.json.differences import difference
from threada_site.kernel.json.truncate import shorten
from workitems.admin.sent import what_is_sent
from workitems.models import DecisionStep

MOST_SHOWN: Final = 20
_MOST_WHOLE: Final = 5_000


@dataclass(frozen=True)
class ShownDifference:
    """One place that differs, in words."""

    place: str
    before: str
    after: str
    was_absent: bool
    is_absent: bool


@dataclass(frozen=True)
class ShownDifferences:
    """What changed, and whether any of it was left out."""

    shown: list[ShownDifference]
    is_cut: bool


def differences_to(previous: DecisionStep, sealed: dict[str, Any], payload: Any, *, whole: bool) -> ShownDifferences:
    """What differs between the envelope of `previous` and the one that is sealed now, and between their payloads.

    Ids, versions and digests that only follow from the rest are left aside.
    """
    earlier = orjson.loads(bytes(previous.envelope.body))
    before, now = _compared(earlier), _compared(sealed)
    was_handed_in = _payload_of(previous)
    if was_handed_in is not None:
        before["payload"], now["payload"] = was_handed_in, payload
    found = difference(before, now, most=_MOST_WHOLE if whole else MOST_SHOWN)
    is_cut = found.omitted > 0
    shown = []
    for change in found.changes:
        told = change.as_json()
        (before_text, before_cut), (after_text, after_cut) = (
            _words(value, whole=whole) if name in told else ("", False)
            for name, value in (("from", change.before), ("to", change.after))
        )
        is_cut = is_cut or before_cut or after_cut
        place = " / ".join(part.replace("~1", "/").replace("~0", "~") for part in change.pointer.split("/")[1:])
        shown.append(ShownDifference(place, before_text, after_text, "from" not in told, is_absent="to" not in told))
    return ShownDifferences(shown, is_cut)


def _compared(sealed: dict[str, Any]) -> dict[str, Any]:
    return {
        "will be sent": what_is_sent(sealed),
        "evidence": sealed.get("evidence", []),
        "question": sealed.get("question"),
        "policy versions": sealed.get("policy_version_ids", []),
    }


def _payload_of(step: DecisionStep) -> Any:
    """The payload that a step was decided on, as its policy decision keeps it; None where none led to it."""
    if step.policy_decision_id is None:
        return None
    rows = PolicyDecision.objects.filter(tenant_id=step.tenant_id, id=step.policy_decision_id)
    facts = rows.values_list("facts", flat=True).first()
    return orjson.loads(bytes(facts))["item"]["payload"] if facts is not None else None


def _words(value: Any, *, whole: bool) -> tuple[str, bool]:
    text = plainly(value) if not isinstance(value, dict | list) or not value else canonical_bytes(value).decode()
    if whole:
        return text, False
    shortened = shorten(text)
    return str(shortened.value), shortened.is_cut
