"""Rulebooks kept in a process: built once, and used only while every row that they follow from is still the same."""

from __future__ import annotations

import pytest

from policies.configuration.lists import upsert_list
from policies.configuration.overlays import remove_overlay
from policies.deciding import rulebook as rulebooks
from policies.deciding.rulebook import Rulebook, rulebook_for
from policies.documents.list import parse_list
from policies.models import Overlay, PolicyVersion
from policies.publication.publish import upsert_policy
from tests.policies.rulebooks import PAYMENTS, TENANT, put_in_force, put_payment_run, rule, spec
from threada_site.kernel import clock
from threada_site.kernel.context import ActingContext


@pytest.fixture
def book(work: ActingContext) -> ActingContext:
    put_payment_run(work)
    put_in_force(PAYMENTS, ctx=work)
    return work


def in_force(ctx: ActingContext) -> Rulebook:
    return rulebook_for(workflow="payment_run", channel="web_main", requester_id=None, at=clock.now(), ctx=ctx)


def test_equal_answers_of_the_database_share_a_rulebook(book: ActingContext) -> None:
    assert in_force(book) is in_force(book)


def test_every_change_of_what_applies_makes_another_rulebook(book: ActingContext) -> None:
    seen = [in_force(book)]
    upsert_policy("payments", spec(rule("other", "deny", "item.channel in lists.sanctioned_vendors")), ctx=book)
    seen.append(in_force(book))
    assert [entry.version_id for entry in seen[0].entries] != [entry.version_id for entry in seen[1].entries]
    upsert_list("sanctioned_vendors", parse_list({"items": ["Hooli"]}), ctx=book)
    seen.append(in_force(book))
    assert (seen[1].lists, seen[2].lists) == ({"sanctioned_vendors": ["Initech"]}, {"sanctioned_vendors": ["Hooli"]})
    put_in_force(spec(rule("wide", "deny")), TENANT, ctx=book, policy="wide")
    seen.append(in_force(book))
    assert [entry.policy for entry in seen[3].entries] == ["wide", "payments"]
    remove_overlay(Overlay.objects.get(scope_kind="tenant"), ctx=book)
    assert in_force(book) is seen[2]


def test_a_rulebook_with_an_unreadable_version_is_not_kept(book: ActingContext) -> None:
    version = PolicyVersion.objects.get()
    broken = PolicyVersion.objects.create(
        tenant_id=book.tenant_id,
        policy=version.policy,
        number=2,
        status="published",
        document={"rules": 3},
        document_sha256="",
    )
    version.policy.in_force = broken
    version.policy.save()
    assert in_force(book) is not in_force(book)
    assert in_force(book).entries[0].document is None


def test_kept_rulebooks_are_bounded_by_the_size_of_their_rules_and_lists(
    book: ActingContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = rulebooks.WeightedCache[object, Rulebook](max_weight=10_000)
    monkeypatch.setattr(rulebooks, "_rulebooks", kept)
    in_force(book)
    small = kept.weight
    upsert_list("sanctioned_vendors", parse_list({"items": [f"vendor {number}" for number in range(5_000)]}), ctx=book)
    in_force(book)
    assert kept.weight - small >= 5_000 // 25 + small
