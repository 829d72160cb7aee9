"""Results of the tests in policy documents, run in the evaluator and cached by content.

The results depend only on rules, tests and lists. So a caller can run the tests before it locks rows, and find the
results again while it holds the locks.
"""

from __future__ import annotations

import hashlib
import uuid
from typing import Any, Final

import orjson

from policies import selectors
from policies.documents.policy import parse_policy
from policies.evaluator.messages import policy_test_json, rule_json
from policies.evaluator.runs import evaluator_run
from policies.evaluator.sessions import SentList
from policies.language.rules import PolicyDocument
from threada_site.kernel.context import ActingContext
from threada_site.kernel.errors import FieldError
from threada_site.kernel.weighted_cache import WeightedCache

type Lists = dict[str, SentList]

_MOST_RESULTS: Final = 1000
_results: Final = WeightedCache[tuple[uuid.UUID, bytes], tuple[FieldError, ...]](max_weight=_MOST_RESULTS)


def current_lists(ctx: ActingContext) -> Lists:
    """Return the lists in force of the tenant, by name."""
    rows = selectors.lists(ctx)
    return {
        row.slug: SentList(str(row.current_version.id), row.current_version.spec) for row in rows if row.current_version
    }


def rule_test_errors(document: PolicyDocument, *, lists: Lists, ctx: ActingContext) -> tuple[FieldError, ...]:
    """Return one error for every failing test of a document. Raises `EvaluatorBusy`, `EvaluatorFailed`."""
    if not document.tests:
        return ()
    key = ctx.tenant_id, _digest(document, lists)
    known = _results.get(key)
    if known is not None:
        return known
    with evaluator_run(ctx.tenant_id) as run:
        found = tuple(run.test_errors(document, lists))
    if not run.stopped:
        _results.put(key, found, weight=len(found) + 1)
    return found


def run_tests_before_locks(spec: Any, *, ctx: ActingContext) -> None:
    """Run the tests of a valid spec, so that `rule_test_errors` finds the results while the caller holds locks."""
    document = parse_policy(spec)
    if document.tests:
        rule_test_errors(document, lists=current_lists(ctx), ctx=ctx)


def _digest(document: PolicyDocument, lists: Lists) -> bytes:
    rules, tests = map(rule_json, document.rules), map(policy_test_json, document.tests)
    versions = {name: sent.key for name, sent in lists.items()}
    content = [document.id, list(rules), list(tests), versions]
    return hashlib.sha256(orjson.dumps(content, option=orjson.OPT_SORT_KEYS)).digest()
