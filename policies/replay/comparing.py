"""Replay of recorded decisions with a candidate override, using the same evaluation as live checks.

Facts, versions of other policies and lists are those of the original decision. If the record lacks something, the
decision is not replayable (`Unanswerable`); nothing is guessed. See docs/adr/0012-replay.md.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, cast

import orjson

from policies.deciding.comparison import (
    Answer,
    Comparison,
    NotReplayable,
    Unanswerable,
    answer_of,
    compare,
    why_not,
)
from policies.deciding.rulebook import Rulebook, compiled_policies, list_items
from policies.documents.overlay import OverlayScope
from policies.evaluator.runs import EvaluatorRun
from policies.language.evaluation import RulebookEntry, Scope, Verdict
from policies.replay.candidate import Candidate, override_with_candidate
from policies.replay.evaluator_verdict import evaluator_verdict
from policies.replay.recorded_decisions import (
    ListHistory,
    Recorded,
    ScopeNotRecordedError,
    matching_scopes,
    may_override,
)
from threada_site.kernel import ids
from threada_site.kernel.context import ActingContext
from threada_site.personal_data.erasable_fields import is_erased

_MOST_RULEBOOKS: Final = 2000
_CLOCK_STOPPED: Final = ("policy_too_slow",)

type Facts = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class ComparisonSetup:
    """Configuration of a comparison.

    The candidate is compared with `baseline` on the same facts, or with the recorded decisions if `baseline` is None.
    If `scopes` is None, both apply on the recorded scopes of their policy; otherwise the candidate applies on `scopes`
    and the baseline on `baseline_scopes`.
    """

    candidate: Candidate
    baseline: Candidate | None = None
    scopes: tuple[OverlayScope, ...] | None = None
    baseline_scopes: tuple[OverlayScope, ...] = ()


@dataclass(frozen=True, slots=True)
class Compared:
    """Result of one comparison, and the facts of the decision (None if they were erased)."""

    found: Comparison | Unanswerable
    facts: Facts | None


class _Unanswerable(Exception):
    def __init__(self, why: NotReplayable, rules: tuple[str, ...] = ()) -> None:
        self.found = Unanswerable(why, rules)
        super().__init__(why)


class Comparer:
    """Compares decisions of one tenant, one at a time. The history of lists is read once, on creation."""

    def __init__(self, setup: ComparisonSetup, *, ctx: ActingContext) -> None:
        self._setup = setup
        self._policy = setup.candidate.policy
        self._ctx = ctx
        self._history = ListHistory(ctx)
        self.stopped = 0
        """Number of evaluations that were killed, over all runs."""
        self._others: dict[tuple[Any, ...], tuple[RulebookEntry, ...]] = {}

    def compare(self, recorded: Recorded, *, run: EvaluatorRun) -> Compared | None:
        """Compare one decision, with evaluations of `run`.

        Return None if the policy applies to neither the baseline nor the candidate.
        """
        facts: Facts | None = None
        try:
            if is_erased(recorded.facts):
                if self._setup.scopes is None and not self._recorded_bindings(recorded):
                    return None
                raise _Unanswerable(NotReplayable.FACTS_REMOVED)
            facts = orjson.loads(recorded.facts)
            return self._compare(recorded, facts, run)
        except _Unanswerable as error:
            return Compared(error.found, facts)

    def _compare(self, recorded: Recorded, facts: Facts, run: EvaluatorRun) -> Compared | None:
        setup = self._setup
        recorded_bindings = self._recorded_bindings(recorded)
        if setup.scopes is None:
            if not recorded_bindings:
                return None
            before_on = after_on = self._recorded_scopes(recorded, recorded_bindings)
        else:
            before_on = self._matching_scopes(setup.baseline_scopes, facts)
            after_on = self._matching_scopes(setup.scopes, facts)
            if not after_on and not (recorded_bindings if setup.baseline is None else before_on):
                return None
        before, of_before = self._before(recorded, facts, recorded_bindings, before_on, run)
        verdict = self._verdict(recorded, facts, setup.candidate, after_on, run)
        comparison = compare(before, answer_of(verdict))
        if comparison.is_flip:
            unanswerable = of_before or why_not(verdict, _errors(recorded))
            if unanswerable is not None:
                return Compared(unanswerable, facts)
        return Compared(comparison, facts)

    def _before(
        self,
        recorded: Recorded,
        facts: Facts,
        recorded_bindings: list[Mapping[str, Any]],
        scopes: Sequence[Scope],
        run: EvaluatorRun,
    ) -> tuple[Answer, Unanswerable | None]:
        """Return the baseline answer, and the reason if it cannot be used for a comparison."""
        baseline = self._setup.baseline
        as_recorded = baseline is None or (
            bool(recorded_bindings)
            and all(row["version_id"] == baseline.version_id for row in recorded_bindings)
            and {row["scope"] for row in recorded_bindings} == set(scopes)
        )
        if as_recorded:
            # A time limit depends on the machine, not on the rules, so the recorded answer cannot be compared.
            if tuple(recorded.reason_codes) == _CLOCK_STOPPED:
                return recorded.answer, Unanswerable(NotReplayable.TOO_SLOW)
            is_engine_failure = any(not error.get("policy") for error in _errors(recorded))
            return recorded.answer, Unanswerable(NotReplayable.EVALUATION_FAILED) if is_engine_failure else None
        assert baseline is not None  # noqa: S101 - without a baseline, as_recorded is True
        verdict = self._verdict(recorded, facts, baseline, scopes, run)
        return answer_of(verdict), why_not(verdict, _errors(recorded))

    def _verdict(
        self, recorded: Recorded, facts: Facts, candidate: Candidate, scopes: Sequence[Scope], run: EvaluatorRun
    ) -> Verdict:
        others = self._other_entries(recorded)
        entries = override_with_candidate(others, candidate, scopes)
        missing = tuple(
            row["policy"]
            for row in recorded.versions
            if row["version_id"] is None and row["policy"] != candidate.policy
        )
        versions = self._lists(recorded, entries)
        items = list_items(versions.values(), ctx=self._ctx)
        lists = {name: items[version_id] for name, version_id in versions.items() if version_id in items}
        return evaluator_verdict(Rulebook(entries, missing, versions, lists), facts, run=run)

    def _recorded_bindings(self, recorded: Recorded) -> list[Mapping[str, Any]]:
        return [row for row in recorded.versions if row["policy"] == self._policy]

    def _recorded_scopes(self, recorded: Recorded, recorded_bindings: Sequence[Mapping[str, Any]]) -> list[Scope]:
        """Return the scopes of the policy in the record. They may be missing if it had no version in force."""
        scopes = [row["scope"] for row in recorded_bindings]
        if None not in scopes:
            return cast("list[Scope]", scopes)
        entries = override_with_candidate(self._other_entries(recorded), self._setup.candidate, ["tenant"])
        if may_override(entries):
            raise _Unanswerable(NotReplayable.SCOPE_NOT_RECORDED)
        return ["tenant"]  # without overrides, every scope gives the same answer

    def _matching_scopes(self, scopes: Sequence[OverlayScope], facts: Facts) -> list[Scope]:
        try:
            return [cast("Scope", scope.kind) for scope in matching_scopes(scopes, facts)]
        except ScopeNotRecordedError:
            raise _Unanswerable(NotReplayable.SCOPE_NOT_RECORDED) from None

    def _other_entries(self, recorded: Recorded) -> tuple[RulebookEntry, ...]:
        """Return the entries of the other policies, with the recorded versions and scopes."""
        key = tuple(
            (row["policy"], row["version_id"], row["scope"])
            for row in recorded.versions
            if row["version_id"] is not None and row["policy"] != self._policy
        )
        found = self._others.get(key)
        if found is None:
            parsed = {name: ids.parse_public_id(ids.POLICY_VERSION, name) for _, name, _ in key}
            compiled = compiled_policies([found for found in parsed.values() if found], ctx=self._ctx)
            found = tuple(
                RulebookEntry(slug, name, scope, compiled.get(cast("uuid.UUID", parsed[name])))
                for slug, name, scope in key
            )
            if len(self._others) >= _MOST_RULEBOOKS:
                self._others.clear()
            self._others[key] = found
        return found

    def _lists(self, recorded: Recorded, entries: Sequence[RulebookEntry]) -> dict[str, uuid.UUID]:
        """Return the version of every list that the rules read, from the record or from unambiguous history."""
        known = {name: uuid.UUID(version_id) for name, version_id in recorded.list_versions.items()}
        found, unsure = {}, []
        for name in self._lists_read(entries):
            if name in known:
                found[name] = known[name]
                continue
            version_id, is_certain = self._history.at(name, recorded.created_at)
            if not is_certain:
                unsure.append(f"lists.{name}")
            elif version_id is not None:
                found[name] = version_id
        if unsure:
            raise _Unanswerable(NotReplayable.LIST_NOT_RECORDED, tuple(sorted(unsure)))
        return found

    def _lists_read(self, entries: Sequence[RulebookEntry]) -> set[str]:
        named: set[str] = set()
        for entry in entries:
            if entry.document is not None:
                if entry.document.lists is None:
                    return self._history.names()
                named |= entry.document.lists
        return named


def _errors(recorded: Recorded) -> list[Mapping[str, Any]]:
    return [] if is_erased(recorded.rule_errors) else recorded.rule_errors
