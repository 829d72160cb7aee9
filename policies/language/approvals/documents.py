"""Parser of approval rules in policy documents. It reports all errors at once and never guesses."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import timedelta
from typing import Any, Final, cast

from policies.language.approvals.rules import (
    DEFAULT_EXCLUDE,
    DURATION_FIELDS,
    EXCLUSIONS,
    ApprovalRule,
    Exclusion,
    OnExpiry,
)
from policies.language.approvals.stages import InOrder, Together, Tree, whole
from policies.language.approvals.trees import LEAF_KINDS, AllOf, AnyOf, Leaf, LeafKind, Node, demands
from policies.language.durations import parse_duration, parse_working_time
from policies.language.field_errors import MAX_FIELD_ERRORS, suggestion
from threada_site.kernel.context import Scope
from threada_site.kernel.errors import FieldError, PolicyDocumentInvalid
from threada_site.kernel.ids import is_slug
from threada_site.kernel.json.pointers import pointer_to

MAX_DEPTH: Final = 8
MAX_NODES: Final = 64
MAX_COUNT: Final = 100
MAX_STAGES: Final = 16
_MAX_NAME: Final = 150

_NODE_FIELDS: Final = ("all", "any", *LEAF_KINDS, "count")
_ORDER_FIELDS: Final = ("stages", "together")
_RULE_FIELDS: Final = ("exclude", *DURATION_FIELDS, "working_time", "on_expiry", "escalate_to", "step_up", "veto")


def parse_approvals(value: Any, *, pointer: str) -> ApprovalRule:
    """Parse the `approvals` field of a policy rule; `pointer` is the place of that field in the document.

    Raises `PolicyDocumentInvalid` with a `FieldError` for every error, at most 50.
    """
    reader = _Reader()
    rule = reader.rule(value, pointer)
    if not reader.errors:
        try:
            demands(whole(rule.tree))
        except PolicyDocumentInvalid as error:
            reader.add_error(pointer, error.detail, "too_large")
    if reader.errors:
        raise PolicyDocumentInvalid(errors=reader.errors)
    return rule


class _Reader:
    """Reads one rule and collects errors. Return values are valid only if there are no errors."""

    def __init__(self) -> None:
        self.errors: list[FieldError] = []
        self._nodes = 0

    def add_error(self, pointer: str, detail: str, code: str = "invalid") -> None:
        if not self.full:
            self.errors.append(FieldError(pointer, detail, code))

    @property
    def full(self) -> bool:
        """Return True once the maximum number of errors is reached; reading further is a waste of time."""
        return len(self.errors) >= MAX_FIELD_ERRORS

    def rule(self, value: Any, pointer: str) -> ApprovalRule:
        if not isinstance(value, Mapping):
            self.add_error(
                pointer, "An approval is an object with all, any, role, group, user, scope or stages.", "wrong_type"
            )
            return ApprovalRule(tree=_NOBODY)
        self._known_fields(value, (*_NODE_FIELDS, *_ORDER_FIELDS, *_RULE_FIELDS), pointer)
        durations = {
            name: self._duration(value[name], pointer_to(pointer, name)) for name in DURATION_FIELDS if name in value
        }
        rule = ApprovalRule(
            tree=self._tree(value, pointer, _ORDER_FIELDS),
            exclude=self._exclude(value, pointer),
            **durations,
            working_time=self._working_time(value, pointer),
            escalate_to=self._escalate_to(value, pointer),
            on_expiry=self._on_expiry(value, pointer),
            step_up=self._boolean(value, pointer, "step_up"),
            veto=self._count(value, pointer, "veto"),
        )
        self._check_times(rule, value, pointer)
        return rule

    def _check_times(self, rule: ApprovalRule, value: Mapping[str, Any], pointer: str) -> None:
        in_working_time = dict(rule.working_time)
        if "on_expiry" in value and "expires_after" not in {*value, *in_working_time}:
            self.add_error(
                pointer_to(pointer, "on_expiry"), "Nothing expires: add expires_after or leave on_expiry out."
            )
        escalates = rule.on_expiry == "escalate" or "escalate_after" in {*value, *in_working_time}
        if escalates and "escalate_to" not in value:
            self.add_error(
                pointer_to(pointer, "escalate_to"), "Name whom to escalate to, e.g. {role: finance_lead}.", "required"
            )
        for name in ("respond_within", "remind_after", "escalate_after"):
            duration: timedelta | None = getattr(rule, name)
            if duration is not None and rule.expires_after is not None and duration > rule.expires_after:
                self.add_error(pointer_to(pointer, name), f"{name} lies past expires_after. Make it shorter.")
            worked, end = in_working_time.get(name), in_working_time.get("expires_after")
            if worked is not None and end is not None and worked > end:
                place = pointer_to(pointer_to(pointer, "working_time"), name)
                self.add_error(place, f"{name} lies past expires_after. Make it shorter.")

    def _tree(self, value: Mapping[str, Any], pointer: str, orders: tuple[str, ...]) -> Tree:
        """Read a tree, `stages` or `together` (merged rules). `stages` and `together` are allowed only at the top."""
        named = [field for field in orders if field in value]
        others = [field for field in ("all", "any", *LEAF_KINDS) if field in value]
        if not named:
            return self._node(value, pointer, depth=1, more="".join(f", {field}" for field in orders[:1]))
        if len(named) + len(others) > 1 or "count" in value:
            extra = " and ".join([*named, *others, *(["count"] if "count" in value else [])])
            self.add_error(pointer, f"{named[0]} must be the only requirement, but the rule also contains {extra}.")
            return _NOBODY
        field, place = named[0], pointer_to(pointer, named[0])
        parts = self._parts(field, value[field], place, most=MAX_STAGES)
        if field == "together":
            trees = [self._part_of_together(part, at) for part, at in parts]
            return Together(tuple(trees)) if trees else _NOBODY
        nodes = [self._checked_node(part, at, depth=2) for part, at in parts]
        return InOrder(tuple(nodes)) if nodes else _NOBODY

    def _part_of_together(self, part: Mapping[str, Any], pointer: str) -> Node | InOrder:
        self._known_fields(part, (*_NODE_FIELDS, "stages"), pointer)
        tree = self._tree(part, pointer, ("stages",))
        return _NOBODY if isinstance(tree, Together) else tree

    def _checked_node(self, part: Mapping[str, Any], pointer: str, depth: int) -> Node:
        if "stages" in part:
            self.add_error(pointer_to(pointer, "stages"), "Stages are not nested. Write them in one list.")
            return _NOBODY
        self._known_fields(part, _NODE_FIELDS, pointer)
        return self._node(part, pointer, depth)

    def _parts(self, field: str, parts: Any, place: str, most: int) -> Iterator[tuple[Mapping[str, Any], str]]:
        """Yield the parts that are objects, each with its pointer."""
        if not isinstance(parts, list) or not parts:
            self.add_error(place, f"{field} is a list of one or more parts, e.g. [{{role: finance, count: 2}}].")
            return
        if field in _ORDER_FIELDS and len(parts) > most:
            self.add_error(place, f"There are at most {most} {field}. Make it simpler.", "too_large")
            return
        for index, part in enumerate(parts[: most + 1]):
            if isinstance(part, Mapping):
                yield part, pointer_to(place, index)
            else:
                example = "A part is an object, e.g. {role: finance, count: 2}."
                self.add_error(pointer_to(place, index), example, "wrong_type")

    def _node(self, value: Mapping[str, Any], pointer: str, depth: int, more: str = "") -> Node:
        self._nodes += 1
        if self._nodes > MAX_NODES or depth > MAX_DEPTH:
            if not any(error.code == "too_large" for error in self.errors):
                self.add_error(
                    pointer,
                    f"An approval holds at most {MAX_NODES} parts, nested {MAX_DEPTH} deep. Make it simpler.",
                    "too_large",
                )
            return _NOBODY
        named = [field for field in ("all", "any", *LEAF_KINDS) if field in value]
        if len(named) != 1:
            found = f"it names {' and '.join(named)}" if named else "it names none"
            self.add_error(
                pointer, f"Name exactly one of all, any, role, group, user, scope{more}: {found}.", "required"
            )
            return _NOBODY
        field = named[0]
        if field in ("all", "any"):
            return self._branch(field, value, pointer, depth)
        return self._leaf(cast("LeafKind", field), value, pointer)

    def _branch(self, field: str, value: Mapping[str, Any], pointer: str, depth: int) -> Node:
        if "count" in value:
            self.add_error(pointer_to(pointer, "count"), f"{field} takes no count. Give each of its parts its own.")
        place = pointer_to(pointer, field)
        parts = self._parts(field, value[field], place, most=MAX_NODES)
        nodes = tuple(self._checked_node(part, at, depth + 1) for part, at in parts)
        if not nodes:
            return _NOBODY
        return AllOf(nodes) if field == "all" else AnyOf(nodes)

    def _leaf(self, kind: LeafKind, value: Mapping[str, Any], pointer: str) -> Leaf:
        count = self._count(value, pointer, "count")
        if kind == "user" and count > 1:
            self.add_error(pointer_to(pointer, "count"), "A single user counts once. Leave count out.")
        return Leaf(kind, self._name(kind, value[kind], pointer_to(pointer, kind)), count)

    def _name(self, kind: LeafKind, name: Any, pointer: str) -> str:
        if not isinstance(name, str):
            self.add_error(pointer, f"Name the {kind} as text.", "wrong_type")
        elif kind == "scope":
            self._one_of(name, tuple(Scope), pointer, "scope")
        elif kind == "user":
            if not 0 < len(name) <= _MAX_NAME:
                self.add_error(pointer, f"A user's name has 1 to {_MAX_NAME} characters.")
        elif not is_slug(name):
            self.add_error(pointer, f"{name[:40]!r} names no {kind}: use a to z, 0 to 9, _ and -.")
        return str(name)

    def _exclude(self, value: Mapping[str, Any], pointer: str) -> frozenset[Exclusion]:
        if "exclude" not in value:
            return DEFAULT_EXCLUDE
        place = pointer_to(pointer, "exclude")
        names = value["exclude"]
        if not isinstance(names, list):
            self.add_error(
                place, f"exclude is a list out of {', '.join(EXCLUSIONS)}; [] excludes nobody.", "wrong_type"
            )
            return DEFAULT_EXCLUDE
        for index, name in enumerate(names):
            if self.full:
                break
            self._one_of(name, EXCLUSIONS, pointer_to(place, index), "exclusion")
        return frozenset(name for name in names if isinstance(name, str) and name in EXCLUSIONS)

    def _escalate_to(self, value: Mapping[str, Any], pointer: str) -> tuple[Leaf, ...]:
        if "escalate_to" not in value:
            return ()
        place = pointer_to(pointer, "escalate_to")
        listed = value["escalate_to"]
        single = isinstance(listed, Mapping)
        if not single and not (isinstance(listed, list) and 0 < len(listed) <= MAX_NODES):
            self.add_error(
                place, "Name whom to escalate to, e.g. {role: finance_lead}, or a list of such.", "wrong_type"
            )
            return ()
        targets: list[Leaf] = []
        for index, target in enumerate([listed] if single else listed):
            target_pointer = place if single else pointer_to(place, index)
            kinds = [kind for kind in LEAF_KINDS if isinstance(target, Mapping) and kind in target]
            if len(kinds) != 1:
                self.add_error(target_pointer, "Name exactly one role, group, user or scope.", "required")
                continue
            self._known_fields(target, LEAF_KINDS, target_pointer)
            name = self._name(kinds[0], target[kinds[0]], pointer_to(target_pointer, kinds[0]))
            targets.append(Leaf(kinds[0], name))
        return tuple(sorted(set(targets), key=lambda target: (target.kind, target.name)))

    def _working_time(self, value: Mapping[str, Any], pointer: str) -> tuple[tuple[str, timedelta], ...]:
        if "working_time" not in value:
            return ()
        place = pointer_to(pointer, "working_time")
        named = value["working_time"]
        if not isinstance(named, Mapping) or not named:
            self.add_error(place, "working_time holds durations, e.g. {respond_within: PT8H}.", "wrong_type")
            return ()
        self._known_fields(named, DURATION_FIELDS, place)
        durations: dict[str, timedelta] = {}
        for name in DURATION_FIELDS:
            if name in named:
                try:
                    durations[name] = parse_working_time(str(named[name]))
                except ValueError as error:
                    self.add_error(pointer_to(place, name), str(error))
        return tuple(sorted(durations.items()))

    def _duration(self, value: Any, pointer: str) -> timedelta | None:
        try:
            return parse_duration(value if isinstance(value, str) else str(value))
        except ValueError as error:
            self.add_error(pointer, str(error))
            return None

    def _count(self, value: Mapping[str, Any], pointer: str, field: str) -> int:
        count = value.get(field, 1)
        if isinstance(count, bool) or not isinstance(count, int) or not 1 <= count <= MAX_COUNT:
            self.add_error(pointer_to(pointer, field), f"{field} is a whole number from 1 to {MAX_COUNT}.")
            return 1
        return count

    def _boolean(self, value: Mapping[str, Any], pointer: str, field: str) -> bool:
        flag = value.get(field, False)
        if not isinstance(flag, bool):
            self.add_error(pointer_to(pointer, field), f"{field} is true or false.", "wrong_type")
        return flag is True

    def _on_expiry(self, value: Mapping[str, Any], pointer: str) -> OnExpiry:
        """Return the effect of the deadline. `expire` and its older name `reject` both end the step as `expired`."""
        choice = self._choice(value, pointer, "on_expiry", "reject", ("expire", "reject", "escalate"))
        return "escalate" if choice == "escalate" else "reject"

    def _choice[T: str](
        self, value: Mapping[str, Any], pointer: str, field: str, default: T, choices: tuple[T, ...]
    ) -> T:
        if field not in value:
            return default
        self._one_of(value[field], choices, pointer_to(pointer, field), field)
        return next((choice for choice in choices if choice == value[field]), default)

    def _one_of(self, name: Any, choices: tuple[str, ...], pointer: str, noun: str) -> None:
        if not isinstance(name, str) or name not in choices:
            self.add_error(pointer, f"{str(name)[:40]!r} is no {noun}.{suggestion(name, choices)}")

    def _known_fields(self, value: Mapping[str, Any], fields: tuple[str, ...], pointer: str) -> None:
        for name in value:
            if self.full:
                return
            if name not in fields:
                self.add_error(
                    pointer_to(pointer, name),
                    f"There is no field {str(name)[:40]!r} here.{suggestion(name, fields)}",
                    "unknown_field",
                )


_NOBODY: Final = Leaf("role", "nobody")
