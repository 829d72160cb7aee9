"""Change of a change set as its page shows it: differences of the states, and facts about the change."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from threada_site.admin.documents import LINES_SHOWN
from threada_site.admin.html import row_link
from threada_site.admin.text_diff import Row, diff_rows
from threada_site.admin.words import Text
from threada_site.kernel import ids
from threada_site.kernel.documents.writer import write_document
from threada_site.tenancy.authority_models import ChangeSet, ChangeSetStatus

type Fact = tuple[str, Any]

_ENVELOPE: Final = frozenset({"state", "replay"})
_PLAN: Final = frozenset({"plan", "states", "replay"})
_NOT_COMPARED: Final = frozenset({"document_sha256", "applies_to_open"})
"""Keys of a published document's state that are no part of the document."""
_PAGES: Final[dict[str, tuple[str, Text]]] = {
    "principal": ("tenancy.membership", gettext_lazy("member")),
    "role": ("tenancy.role", gettext_lazy("role")),
    "group": ("tenancy.peoplegroup", gettext_lazy("group")),
    "policy_version_id": ("policies.policyversion", gettext_lazy("policy version")),
    "list": ("policies.list", gettext_lazy("list")),
    "workflow": ("policies.workflow", gettext_lazy("workflow")),
    "channel": ("policies.channel", gettext_lazy("channel")),
    "integration": ("integrations.integration", gettext_lazy("integration")),
    "legal_hold_id": ("workitems.legalhold", gettext_lazy("legal hold")),
    "decision_step_id": ("workitems.decisionstep", gettext_lazy("decision step")),
}
"""Argument of an operation → model and noun of the page about the changed object."""


@dataclass(frozen=True, slots=True)
class ShownChange:
    """`differences`: rows of one diff for each changed object, at most 3,000 together; `left_out` counts the others.
    `facts`: label and value. `subject`: link or empty."""

    differences: list[list[Row]]
    left_out: int
    facts: list[Fact]
    subject: Any


def shown_change(change_set: ChangeSet) -> ShownChange:
    """Return the change of a change set in the form that its page shows."""
    before: Any = change_set.before
    after: Any = change_set.after
    is_published = change_set.status == ChangeSetStatus.PUBLISHED
    if isinstance(after, Mapping) and set(after) == _PLAN:
        pairs = list(zip(before["states"], after["states"], strict=True))
        facts: list[Fact] = [(_("Documents"), _planned(after["plan"]))]
    else:
        pairs, facts = [(before, after)], _facts(after)
    states = [(_state(old), _state(new)) for old, new in pairs]
    differences = [rows for old, new in states if (rows := diff_rows(_text(old), _text(new)))]
    differences, left_out = _shortened(differences)
    return ShownChange(
        differences=differences,
        left_out=left_out,
        facts=facts,
        subject=_subject(change_set.arguments) if any(new if is_published else old for old, new in states) else "",
    )


def not_shown(change_set: ChangeSet, change: ShownChange) -> str:
    """Return why a change whose page leaves out lines is not published there, with what to do."""
    return (
        f"This page leaves out {change.left_out} lines of the change. Read all of it at GET "
        f"/change-sets/{change_set.public_id}, and publish it there."
    )


def _shortened(differences: list[list[Row]]) -> tuple[list[list[Row]], int]:
    """Return the first 3,000 rows, and the number of the others."""
    shown: list[list[Row]] = []
    space, left_out = LINES_SHOWN, 0
    for rows in differences:
        if space:
            shown.append(rows[:space])
        left_out += max(len(rows) - space, 0)
        space = max(space - len(rows), 0)
    return shown, left_out


def _planned(plan: list[dict[str, str]]) -> str:
    return ", ".join(f"{entry['kind']} {entry['name']} ({entry['change']})" for entry in plan)


def _facts(after: Any) -> list[Fact]:
    if not isinstance(after, Mapping) or set(after) != _ENVELOPE:
        return []
    state, replay = after["state"], after["replay"]
    facts: list[Fact] = [(_("Replay"), _replay(replay))] if isinstance(replay, Mapping) else []
    if isinstance(state, Mapping) and "applies_to_open" in state:
        facts.append((_("Applies to open work items"), _("yes") if state["applies_to_open"] else _("no")))
    return facts


def _replay(replay: Mapping[str, Any]) -> Any:
    """Return a link to the report of a replay, with its counts."""
    return row_link(
        "policies.policyreplay",
        replay.get("replay"),
        _("{replayed} replayed, {flipped} different, {not_replayable} not replayable").format(
            replayed=replay.get("replayed"),
            flipped=replay.get("flipped"),
            not_replayable=replay.get("not_replayable"),
        ),
    )


def _state(described: Any) -> Any:
    """Return the state without its replay, and with lists of names instead of maps from names to ids."""
    if isinstance(described, Mapping) and {"state"} <= set(described) <= _ENVELOPE:
        described = described["state"]
    if isinstance(described, Mapping) and "document" in described:
        described = {key: value for key, value in described.items() if key not in _NOT_COMPARED}
    return _named(described)


def _named(value: Any) -> Any:
    if isinstance(value, list):
        return [_named(entry) for entry in value]
    if not isinstance(value, Mapping):
        return value
    if value and all(isinstance(one, str) and _is_member(one) for one in value.values()):
        return sorted(value)
    return {key: _named(entry) for key, entry in value.items()}


def _is_member(public_id: str) -> bool:
    """Return True for the id of an account, or of an invitation that names somebody who has not accepted it."""
    return any(ids.parse_public_id(prefix, public_id) for prefix in (ids.PRINCIPAL, ids.ACCOUNT_LINK))


def _subject(arguments: Mapping[str, Any]) -> Any:
    """Return a link to the page of the object that the arguments name; empty for none."""
    for argument, (model, noun) in _PAGES.items():
        if isinstance(key := arguments.get(argument), str):
            key = ids.public_id(ids.POLICY_VERSION, uuid.UUID(key)) if argument == "policy_version_id" else key
            return row_link(model, key, _("Open the {noun}").format(noun=noun))
    return ""


def _text(state: Any) -> str:
    return "" if state is None or state == {} else write_document(state)
