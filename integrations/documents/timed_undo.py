"""`undo_after` of an action: the time after which Threada starts the undo of a succeeded execution by itself. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from integrations.documents.fields import Fields, as_seconds
from integrations.documents.model import ActionDocument
from integrations.documents.templates import Place, Template, render
from threada_site.kernel.errors import ExpressionFailed

LONGEST_UNDO_S: Final = 366 * 86400.0
_ADVICE: Final = "Write ISO 8601, such as P7D or PT8H, above 0 and at most 366 days (P366D)."


def read_undo_after(action: Fields, undo: str | None, undo_spec: Any) -> Template | None:
    """Return the template of `undo_after`, or None if the action has none.

    `undo_spec` is the action named by `undo`, which Threada starts without input.
    """
    if "undo_after" not in action:
        return None
    if undo is None:
        action.refuse("undo_after needs undo: the action that reverts this one.", "undo_after", code="required")
        return None
    schema = undo_spec.get("input_schema") if isinstance(undo_spec, dict) else None
    if isinstance(schema, dict) and schema.get("required"):
        said = f"Threada starts {undo} without input, but its input_schema requires some. Read item or undoes instead."
        action.refuse(said, "undo_after")
        return None
    template = action.template("undo_after", Place.TEXT)
    if isinstance(template.node, str) and not 0 < as_seconds(template.node) <= LONGEST_UNDO_S:
        action.refuse(_ADVICE, "undo_after")
    return template


def timed_undo(action: ActionDocument, facts: Mapping[str, Any]) -> dict[str, str] | None:
    """Return `{action, after}` for the envelope: the undo of the action and its ISO 8601 delay. None without one.

    Raises `ExpressionFailed` if the delay is not a duration of at most 366 days.
    """
    if action.undo_after is None or action.undo is None:
        return None
    after = render(action.undo_after, facts)
    if not isinstance(after, str) or not 0 < as_seconds(after) <= LONGEST_UNDO_S:
        raise ExpressionFailed(f"undo_after is {str(after)[:60]!r}. {_ADVICE}")
    return {"action": action.undo, "after": after}
