"""Parser of approval rules in policy documents. It reports all errors at once and never guesses."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from datetime import timedelta
from typing import Any, Final

from policies.language.approvals.rules import (
    DEFAULT_EXCLUDE,
    DEFAULT_VALIDITY,
    DURATION_FIELDS,
    ApprovalRule,
    Exclusion,
    from_json,
)
from policies.language.approvals.schema import MAX_DEPTH, MAX_NODES, SCHEMA
from policies.language.approvals.stages import whole
from policies.language.approvals.trees import demands
from policies.language.durations import parse_duration, parse_working_time
from threada_site.kernel.documents.field_errors import FieldErrors
from threada_site.kernel.documents.structure import Structure
from threada_site.kernel.errors import PolicyDocumentInvalid
from threada_site.kernel.json.pointers import pointer_to

_PARTS: Final = ("all", "any", "stages", "together")
_STRUCTURE: Final = Structure(SCHEMA)


def parse_approvals(value: Any, *, pointer: str) -> ApprovalRule:
    """Parse the `approvals` field of a policy rule; `pointer` is the place of that field in the document.

    Raises `PolicyDocumentInvalid` with a `FieldError` for every error, at most 50.
    """
    errors = FieldErrors()
    rule = None
    if not _is_too_large(value, pointer, errors):
        errors = _STRUCTURE.check(value, pointer)
        rule = None if errors.is_full else read_approvals(value, pointer, errors)
    errors.raise_any(PolicyDocumentInvalid, value=value, pointer=pointer)
    assert rule is not None  # noqa: S101 - without errors there is a rule
    return rule


def read_approvals(value: Any, pointer: str, errors: FieldErrors) -> ApprovalRule | None:
    """Check what a schema cannot say of approvals whose structure is in `errors`. Return the rule if it is valid."""
    if not isinstance(value, Mapping) or _is_too_large(value, pointer, errors):
        return None
    _check_times(value, pointer, errors)
    if not errors.is_clean(pointer):
        return None
    rule = from_json(_with_defaults(value))
    try:
        demands(whole(rule.tree))
    except PolicyDocumentInvalid as error:
        errors.add(pointer, error.detail, "too_large")
        return None
    return rule


def _with_defaults(value: Mapping[str, Any]) -> dict[str, Any]:
    """Return the document in the form that steps store."""
    targets = value.get("escalate_to", [])
    targets = [targets] if isinstance(targets, Mapping) else targets
    unique = sorted({entry for target in targets for entry in target.items()})
    asks_step_up = value.get("authentication") == "step_up"
    return {
        "step_up": False,
        "veto": 1,
        **value,
        **({"step_up": True, "authentication": "any"} if asks_step_up else {}),
        "exclude": _excluded(value),
        "escalate_to": [dict([entry]) for entry in unique],
        "on_expiry": "escalate" if value.get("on_expiry") == "escalate" else "reject",
    }


def _excluded(value: Mapping[str, Any]) -> list[Exclusion]:
    """Return the exclusions of a document: what it names and the defaults, or nothing if it names nothing."""
    named = value.get("exclude")
    return [] if named == [] else sorted(DEFAULT_EXCLUDE.union(named or ()))


def _check_times(value: Mapping[str, Any], pointer: str, errors: FieldErrors) -> None:
    elapsed = _durations(value, pointer, errors, parse_duration)
    worked = _durations(value.get("working_time", {}), pointer_to(pointer, "working_time"), errors, parse_working_time)
    if errors.names_are_known(pointer) and errors.is_clean(pointer_to(pointer, "working_time")):
        _check_missing(value, {*value, *worked}, pointer, errors)
    for place, durations in ((pointer, elapsed), (pointer_to(pointer, "working_time"), worked)):
        end = durations.get("expires_after")
        for name, duration in durations.items():
            if end is not None and duration > end:
                errors.add(pointer_to(place, name), f"{name} ends after expires_after. Make it shorter.")
    valid_for = _check_validity(value, pointer, errors)
    _check_permit(value.get("permit"), pointer_to(pointer, "permit", "max_valid_for"), errors, valid_for=valid_for)


def _check_validity(value: Mapping[str, Any], pointer: str, errors: FieldErrors) -> timedelta:
    place = pointer_to(pointer, "approval_valid_for")
    if "approval_valid_for" in value and errors.is_clean(place):
        try:
            return parse_duration(value["approval_valid_for"])
        except ValueError as error:
            errors.add(place, str(error))
    return DEFAULT_VALIDITY


def _check_permit(permit: Any, place: str, errors: FieldErrors, *, valid_for: timedelta) -> None:
    if not isinstance(permit, Mapping) or "max_valid_for" not in permit or not errors.is_clean(place):
        return
    try:
        longest = parse_duration(permit["max_valid_for"])
    except ValueError as error:
        errors.add(place, str(error))
        return
    if longest > valid_for:
        errors.add(place, "It is longer than approval_valid_for, after which approvals no longer count. Shorten it.")


def _check_missing(value: Mapping[str, Any], given: set[str], pointer: str, errors: FieldErrors) -> None:
    place = pointer_to(pointer, "on_expiry")
    if "on_expiry" in value and "expires_after" not in given and errors.is_clean(place):
        errors.add(place, "Nothing expires: add expires_after or leave on_expiry out.")
    escalates = value.get("on_expiry") == "escalate" or "escalate_after" in given
    if escalates and "escalate_to" not in value:
        said = "Name whom to escalate to, e.g. {role: finance_lead}."
        errors.add(pointer_to(pointer, "escalate_to"), said, "required")


def _durations(
    value: Any, pointer: str, errors: FieldErrors, parse: Callable[[str], timedelta]
) -> dict[str, timedelta]:
    """Return the valid durations of an object."""
    found: dict[str, timedelta] = {}
    for name in DURATION_FIELDS:
        place = pointer_to(pointer, name)
        if isinstance(value, Mapping) and name in value and errors.is_clean(place):
            try:
                found[name] = parse(value[name])
            except ValueError as error:
                errors.add(place, str(error))
    return found


def _is_too_large(value: Any, pointer: str, errors: FieldErrors) -> bool:
    """Add an error if there are too many parts; the structure of hostile documents takes too long to check."""
    for number, (place, depth) in enumerate(_nodes(value, pointer, 1), start=1):
        if number > MAX_NODES or depth > MAX_DEPTH:
            said = f"An approval has at most {MAX_NODES} parts, nested {MAX_DEPTH} deep. Make it simpler."
            errors.add(place, said, "too_large")
            return True
    return False


def _nodes(value: Any, pointer: str, depth: int) -> Iterator[tuple[str, int]]:
    """Yield the pointer and the depth of every part that is an object."""
    if not isinstance(value, Mapping):
        return
    if not value.keys() & {"stages", "together"}:
        yield pointer, depth
    for name in _PARTS:
        parts = value.get(name)
        for index, part in enumerate(parts if isinstance(parts, list) else ()):
            yield from _nodes(part, pointer_to(pointer, name, index), depth + (name != "together"))
