"""Verdicts of rules that are not in force, from the evaluator instead of this process."""

from __future__ import annotations

from typing import Any

from policies.deciding.decide import missing_versions
from policies.deciding.rulebook import Rulebook
from policies.evaluator.runs import EvaluatorRun
from policies.evaluator.sessions import SentList
from policies.language.evaluation import Verdict


def evaluator_verdict(rulebook: Rulebook, facts: dict[str, Any], *, run: EvaluatorRun) -> Verdict:
    """Return what `verdict_of` returns for a live check, with the lists of the rulebook."""
    if rulebook.missing:
        return missing_versions(rulebook)
    lists = {name: SentList(str(rulebook.list_versions[name]), items) for name, items in rulebook.lists.items()}
    return run.verdict(rulebook.entries, facts, lists)
