"""Differences between the current envelope and payload and those of the superseded step."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import orjson

from policies.models import PolicyDecision
from threada_site.admin.fields import plainly
from threada_site.kernel.json.canonical import canonical_bytes
from threada_site.kernel.json.differences import difference
from threada_site.kernel.json.pointers import dotted, pointer_to, tokens_of
from threada_site.kernel.json.truncate import shorten
from workitems.admin.contents import formatted_and_exact, labelled
from workitems.admin.sent import what_is_sent
from workitems.display.fields import Row
from workitems.display.formats import value_at
from workitems.models import DecisionStep

type Describe = Callable[[Any], Sequence[Row]]

MOST_SHOWN: Final = 20
_MOST_WHOLE: Final = 5_000


@dataclass(frozen=True)
class ShownDifference:
    """One difference as text."""

    place: str
    before: str
    after: str
    was_absent: bool
    is_absent: bool


@dataclass(frozen=True)
class ShownDifferences:
    """Differences shown. `is_cut` is True if some were left out or shortened."""

    shown: list[ShownDifference]
    is_cut: bool


def differences_to(
    previous: DecisionStep, envelope: dict[str, Any], payload: Any, *, describe: Describe, whole: bool
) -> ShownDifferences:
    """Return the differences between the envelope of `previous` and `envelope`, and between their payloads.

    Ids, versions and digests that follow from other values are ignored. `describe` returns the rows of a payload.
    """
    earlier = orjson.loads(bytes(previous.envelope.body))
    before, now = _compared(earlier), _compared(envelope)
    was_handed_in = _payload_of(previous)
    if was_handed_in is not None:
        before["payload"], now["payload"] = was_handed_in, payload
    labels = [_by_pointer(describe(value)) if value else {} for value in (was_handed_in, payload)]
    found = difference(before, now, most=_MOST_WHOLE if whole else MOST_SHOWN)
    is_cut = found.omitted > 0
    shown = []
    for change in found.changes:
        as_json = change.as_json()
        (before_text, before_cut), (after_text, after_cut) = (
            _words(value, whole=whole) if name in as_json else ("", False)
            for name, value in (("from", change.before), ("to", change.after))
        )
        is_cut = is_cut or before_cut or after_cut
        if not before_cut and change.pointer in labels[0]:
            before_text = formatted_and_exact(labels[0][change.pointer][0], before_text)
        if not after_cut and change.pointer in labels[1]:
            after_text = formatted_and_exact(labels[1][change.pointer][0], after_text)
        known = labels[1].get(change.pointer) or labels[0].get(change.pointer)
        place = known[1] if known else _path(change.pointer, before, now)
        absent = ("from" not in as_json, "to" not in as_json)
        shown.append(ShownDifference(place, before_text, after_text, *absent))
    return ShownDifferences(shown, is_cut)


def _path(pointer: str, *compared: dict[str, Any]) -> str:
    """Return a pointer into one of the compared values as a dotted path, below the name of its part."""
    first, *tokens = tokens_of(pointer)
    parts = [value.get(first) for value in compared]
    path = first
    for token in tokens:
        is_element = any(isinstance(part, list) for part in parts)
        path = dotted(path, int(token) if is_element and token.isdecimal() else token)
        parts = [value_at(part, pointer_to("", token)) for part in parts]
    return path


def _by_pointer(rows: Sequence[Row]) -> dict[str, tuple[Row, str]]:
    return {f"/payload{row.pointer}": (row, label) for row, label, _path in labelled(rows)}


def _compared(envelope: dict[str, Any]) -> dict[str, Any]:
    return {
        "will be sent": what_is_sent(envelope),
        "ends by itself": (envelope.get("action") or {}).get("undo_after"),
        "evidence": envelope.get("evidence", []),
        "question": envelope.get("question"),
        "policy versions": envelope.get("policy_version_ids", []),
    }


def _payload_of(step: DecisionStep) -> Any:
    """Return the payload from the policy decision of a step; None if no policy decision led to it."""
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
