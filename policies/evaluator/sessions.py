"""A process with what it already knows: policies and lists are sent once. Imports no Django."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

from policies.evaluator.messages import (
    Message,
    entry_json,
    policy_test_json,
    rule_json,
    verdict_from_json,
)
from policies.evaluator.process import BrokenError, EvaluatorProcess
from policies.language.evaluation import CompiledPolicy, RulebookEntry, Verdict
from policies.language.rules import PolicyTest, Rule

MOST_SENT_BYTES: Final = 32 * 1024 * 1024
"""A process that was sent more is not used again, because it stores policies and lists."""


class SentList(NamedTuple):
    """A version of a list. `key` identifies its items, which never change."""

    key: str
    items: Sequence[Any]


class Session:
    """Typed questions to one process. An answer of another form ends the process (`BrokenError`)."""

    def __init__(self, process: EvaluatorProcess) -> None:
        self.process = process
        self._policies: dict[int, tuple[int, object]] = {}
        self._lists: set[str] = set()

    @property
    def is_reusable(self) -> bool:
        return self.process.is_running and self.process.sent_bytes < MOST_SENT_BYTES

    def verdict(
        self, entries: Sequence[RulebookEntry], facts: Mapping[str, Any], lists: Mapping[str, SentList]
    ) -> Verdict:
        """Return the verdict of `entries` for facts without lists, and the lists that the rules read."""
        sent = [entry_json(entry, self._compiled_key(entry.document)) for entry in entries]
        own = {name: value for name, value in facts.items() if name != "lists"}
        answer = self._ask({"do": "evaluate", "entries": sent, "facts": own, "lists": self._list_keys(lists)})
        try:
            return verdict_from_json(answer["verdict"])
        except (AttributeError, KeyError, TypeError, ValueError):
            raise self._broken() from None

    def load_tested(self, rules: tuple[Rule, ...]) -> tuple[int, frozenset[str] | None]:
        """Send the rules of a document that is tested. Return their key, and the lists they read; None means any."""
        key = len(self._policies)
        self._policies[id(rules)] = key, rules
        answer = self._ask({"do": "policy", "key": key, "rules": list(map(rule_json, rules))})
        lists = answer.get("lists")
        return key, None if lists is None else frozenset(lists)

    def test_failure(
        self, key: int, test: PolicyTest, *, policy: str, lists: Mapping[str, SentList]
    ) -> tuple[str | None, bool]:
        """Run a test. Return how it fails (None: it passes), and True if the time for all tests is used up."""
        answer = self._ask(
            {
                "do": "test",
                "key": key,
                "test": policy_test_json(test),
                "policy": policy,
                "lists": self._list_keys(lists),
            }
        )
        failure = answer.get("failure")
        if failure is not None and not isinstance(failure, str):
            raise self._broken()
        return failure, answer.get("is_used_up") is True

    def _compiled_key(self, compiled: CompiledPolicy | None) -> int | None:
        if compiled is None:
            return None
        known = self._policies.get(id(compiled))  # the entry keeps the policy alive, so the id stays its own
        if known is None:
            known = self._policies[id(compiled)] = len(self._policies), compiled
            self._ask({"do": "policy", "key": known[0], "rules": list(map(rule_json, compiled.rules))})
        return known[0]

    def _list_keys(self, lists: Mapping[str, SentList]) -> dict[str, str]:
        for key, items in lists.values():
            if key not in self._lists:
                self._ask({"do": "list", "key": key, "items": items})
                self._lists.add(key)
        return {name: sent.key for name, sent in lists.items()}

    def _ask(self, message: Message) -> Message:
        answer = self.process.ask(message)
        if "exception" in answer:
            self.process.end()
            raise BrokenError(f"it raised {str(answer['exception'])[:80]}")
        return answer

    def _broken(self) -> BrokenError:
        self.process.end()
        return BrokenError("its answer has another form")
