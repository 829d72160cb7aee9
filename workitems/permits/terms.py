"""Terms of a permit: what it covers, as canonical bytes. Pure.

Terms only become narrower: fewer uses, a smaller sum, an earlier end, fewer principals, more conditions.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal
from typing import Any, Final

from policies.language.approvals import PermitLimits, SumLimit
from policies.language.approvals.permits import SUM_FIELD, exact_number, sum_from_json
from threada_site.kernel.cel import MAX_COST, BoundFacts, ExpressionError, compile_expression
from threada_site.kernel.clock import rfc3339
from threada_site.kernel.errors import FieldError
from threada_site.kernel.json.canonical import canonical_bytes, sha256_hex
from threada_site.kernel.json.strict import MAX_INTEGER

FORMAT: Final = "threada.permit/1"
BOUND_VARIABLES: Final = ("item", "ctx", "input")
"""Variables of bounds. `lists` is left out: who edits a list would widen the permit."""
MOST_BOUNDS: Final = 10
MOST_PRINCIPALS: Final = 50
DECIMALS: Final = 6
_FIELD: Final = re.compile(SUM_FIELD)


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """Coverage of a permit. `principals` are public ids; `rules` are pairs of policy and rule; all bounds must hold.

    `integration_version` is the public id of the version that says what the action sends. `salt`: random hexadecimal
    digits, so that the digest confirms no guess once the terms are erased.
    """

    workflow: str
    integration: str
    integration_version: str
    action: str
    step: str
    rules: tuple[tuple[str, str], ...]
    ends_at: datetime
    max_count: int
    principals: tuple[str, ...]
    max_sum: SumLimit | None = None
    bounds: tuple[str, ...] = ()
    salt: str = ""

    def as_json(self) -> dict[str, Any]:
        return {
            "format": FORMAT,
            "workflow_id": self.workflow,
            "integration_id": self.integration,
            "integration_version_id": self.integration_version,
            "action_id": self.action,
            "decision_step_id": self.step,
            "rules": [list(rule) for rule in sorted(self.rules)],
            "ends_at": rfc3339(self.ends_at),
            "max_count": self.max_count,
            **({"max_sum": self.max_sum.as_json()} if self.max_sum else {}),
            "principals": sorted(set(self.principals)),
            "bounds": sorted(set(self.bounds)),
            **({"salt": self.salt} if self.salt else {}),
        }

    def canonical(self) -> bytes:
        return canonical_bytes(self.as_json())

    @property
    def sha256(self) -> str:
        return sha256_hex(self.canonical())


def terms_from_json(value: Mapping[str, Any]) -> Terms:
    """Return the terms that `as_json` serialized. Raise `ValueError` for another format."""
    if value.get("format") != FORMAT:
        raise ValueError("The format of the permit is unknown.")
    return Terms(
        workflow=value["workflow_id"],
        integration=value["integration_id"],
        integration_version=value["integration_version_id"],
        action=value["action_id"],
        step=value["decision_step_id"],
        rules=tuple((policy, rule) for policy, rule in value["rules"]),
        ends_at=datetime.fromisoformat(value["ends_at"]),
        max_count=value["max_count"],
        max_sum=sum_from_json(value.get("max_sum")),
        principals=tuple(value["principals"]),
        bounds=tuple(value["bounds"]),
        salt=value.get("salt", ""),
    )


class BoundedFacts:
    """Facts of one request, converted once for the bounds of all permits that are compared with it.

    All evaluations together cost at most `MAX_COST`, because the work item is locked meanwhile.
    """

    def __init__(self, facts: Mapping[str, Any]) -> None:
        self.facts = facts
        self._bound = BoundFacts({name: facts[name] for name in BOUND_VARIABLES}, variables=BOUND_VARIABLES)
        self._left: float = MAX_COST
        self._known: dict[str, bool] = {}

    def holds(self, bound: str) -> bool:
        """Evaluate a bound. Raise `NotCoveredError` if it has no value, or if the rest of the cost is too small."""
        if bound in self._known:
            return self._known[bound]
        try:
            self._left -= self._bound.cost_of(bound, BOUND_VARIABLES)
            if self._left < 0:
                raise NotCoveredError("The bounds are too expensive together.")
            truth = compile_expression(bound, variables=BOUND_VARIABLES).truth(self._bound)
        except ExpressionError as error:
            raise NotCoveredError(f"A bound cannot be evaluated: {error}") from None
        self._known[bound] = truth
        return truth


class NotCoveredError(Exception):
    """A request that a permit does not cover; the message says why."""


def check_covers(
    terms: Terms, *, principal: str, rules: Iterable[tuple[str, str]], facts: BoundedFacts, now: datetime
) -> Decimal:
    """Return the amount that a use adds to the sum (0 without one). Raise `NotCoveredError` for anything not covered.

    A bound that cannot be evaluated does not hold. An amount is a number of at least 0 with at most six decimals.
    """
    if now >= terms.ends_at:
        raise NotCoveredError("It has ended.")
    if principal not in terms.principals:
        raise NotCoveredError("It is for other principals.")
    asked = set(rules)
    if not asked or not asked <= set(terms.rules):
        raise NotCoveredError("Another rule requires the approval.")
    for bound in terms.bounds:
        if not facts.holds(bound):
            raise NotCoveredError("A bound does not hold.")
    return amount_of(terms.max_sum.field, facts.facts) if terms.max_sum else Decimal(0)


def amount_of(path: str, facts: Mapping[str, Any]) -> Decimal:
    """Return the number at `path`. Raise `NotCoveredError` unless it is at least 0 and has at most six decimals."""
    if not _FIELD.fullmatch(path):
        raise NotCoveredError("The field of the sum names no number.")
    value: Any = facts
    for name in path.split("."):
        value = value.get(name) if isinstance(value, Mapping) else None
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= MAX_INTEGER:
        raise NotCoveredError("The field of the sum contains no number from 0 on.")
    amount = exact_number(value)
    if amount != round(amount, DECIMALS):
        raise NotCoveredError(f"The amount has more than {DECIMALS} decimals.")
    return amount


def fits(terms: Terms, amount: Decimal, *, used_count: int, used_sum: Decimal) -> bool:
    """Return True if one more use with this amount is within number and sum."""
    within_sum = terms.max_sum is None or used_sum + amount <= terms.max_sum.at_most
    return used_count < terms.max_count and within_sum


def beyond_limits(terms: Terms, limits: PermitLimits, *, proposed_at: datetime) -> Iterator[FieldError]:
    """Yield an error for each term that exceeds the limits of the rule."""
    if terms.max_count > limits.max_count:
        yield FieldError("/permit/max_count", f"is more than the rule allows ({limits.max_count})", "too_wide")
    latest = proposed_at + limits.max_valid_for
    if terms.ends_at > latest:
        yield FieldError("/permit/ends_at", f"is later than the rule allows ({rfc3339(latest)})", "too_wide")
    if limits.max_sum is None:
        return
    if terms.max_sum is None:
        yield FieldError(
            "/permit/max_sum", f"is required: the rule limits the sum of {limits.max_sum.field}", "required"
        )
    elif terms.max_sum.field != limits.max_sum.field:
        yield FieldError("/permit/max_sum/field", f"must be {limits.max_sum.field}", "too_wide")
    elif terms.max_sum.at_most > limits.max_sum.at_most:
        yield FieldError(
            "/permit/max_sum/at_most", f"is more than the rule allows ({limits.max_sum.at_most})", "too_wide"
        )


def wider_than(terms: Terms, before: Terms) -> Iterator[FieldError]:
    """Yield an error for each term that is wider than in `before`."""
    if terms.max_count > before.max_count:
        yield FieldError("/max_count", f"is more than now ({before.max_count})", "too_wide")
    if terms.ends_at > before.ends_at:
        yield FieldError("/ends_at", f"is later than now ({rfc3339(before.ends_at)})", "too_wide")
    if not set(terms.principals) <= set(before.principals):
        yield FieldError("/principals", "names somebody whom the permit does not name", "too_wide")
    if not set(terms.bounds) >= set(before.bounds):
        yield FieldError("/bounds", "leaves out a bound of the permit", "too_wide")
    if not set(terms.rules) <= set(before.rules):
        yield FieldError("/rules", "names a rule that the permit does not name", "too_wide")
    if before.max_sum is not None and (
        terms.max_sum is None
        or terms.max_sum.field != before.max_sum.field
        or terms.max_sum.at_most > before.max_sum.at_most
    ):
        yield FieldError("/max_sum", f"is wider than now ({before.max_sum.at_most})", "too_wide")
    if replace(terms, **_variable(before)) != before:
        yield FieldError("", "is a permit for something else", "too_wide")


def _variable(terms: Terms) -> dict[str, Any]:
    names = ("rules", "ends_at", "max_count", "max_sum", "principals", "bounds")
    return {name: getattr(terms, name) for name in names}


def bound_errors(bounds: Iterable[str], pointer: str) -> Iterator[FieldError]:
    """Yield an error for each bound that does not compile or can never be true or false."""
    for index, bound in enumerate(bounds):
        try:
            compiled = compile_expression(bound, variables=BOUND_VARIABLES)
        except ExpressionError as error:
            yield FieldError(f"{pointer}/{index}", error.message, "invalid")
        else:
            if not compiled.may_be_truth:
                yield FieldError(f"{pointer}/{index}", "must say true or false", "invalid")
