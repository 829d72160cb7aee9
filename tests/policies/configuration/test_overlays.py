"""Overlays: scopes, time windows and overrides."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import IntegrityError, connection, transaction
from django.test.utils import CaptureQueriesContext

from policies.configuration.overlays import upsert_overlay
from policies.deciding import decide as deciding
from policies.deciding.decide import decide
from policies.deciding.rulebook import rulebook_for
from policies.deciding.stored_decision import stored_facts
from policies.documents.overlay import OverlayScope
from policies.drafts.edit import draft_policy_version
from policies.language.overriding import override_errors
from policies.language.time_window import ALWAYS, TimeWindow, read_time_window, whole_milliseconds
from policies.models import Overlay, PolicyVersion
from policies.publication.publish import publish_policy_version, upsert_policy
from policies.replay.recorded_decisions import ScopeNotRecordedError, matching_scopes
from policies.selectors import requester_groups
from tests.factories import make_principal
from tests.policies.rulebooks import (
    PAYMENT_RUN,
    TENANT,
    WEB_MAIN,
    asking,
    put_in_force,
    put_payment_run,
    receipts,
    rule,
    spec,
)
from threada_site.identity.groups import define_group
from threada_site.kernel import clock, errors, ids
from threada_site.kernel.context import ActingContext
from threada_site.kernel.documents.field_errors import FieldErrors
from threada_site.tenancy.models import Tenant, User

NO, YES = rule("no", "deny"), rule("yes", "allow")
NOON = datetime(2026, 12, 24, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
EMEA, BOARD = OverlayScope("group", "emea"), OverlayScope("group", "board")


@pytest.fixture
def book(work: ActingContext) -> ActingContext:
    put_payment_run(work)
    return work


@pytest.fixture
def ann(tenant: Tenant, book: ActingContext) -> User:
    """Create a member of the groups emea and board."""
    person = make_principal(tenant, "ann")
    define_group("emea", ["ann"], ctx=book)
    define_group("board", ["ann"], ctx=book)
    define_group("others", ["ada"], ctx=book)
    return person


@pytest.fixture
def at(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Return a function that sets the current time."""

    def travel(instant: datetime) -> None:
        monkeypatch.setattr(deciding.clock, "now", lambda: instant)

    return travel


def outcome(ctx: ActingContext, **request: Any) -> str:
    return decide(asking(**request), ctx=ctx).outcome


def test_a_group_scope_matches_the_requester(book: ActingContext, ann: User) -> None:
    put_in_force(spec(YES), TENANT, ctx=book, policy="wide")
    put_in_force(spec(NO), EMEA, ctx=book, policy="regional")
    assert outcome(book, requester=ann.public_id) == "deny"
    assert outcome(book, requester=book.actor) == "allow"
    assert outcome(book, requester=book.actor, actor=ann.public_id) == "allow"
    define_group("emea", [], ctx=book)
    assert outcome(book, requester=ann.public_id) == "allow"


def test_the_requesters_groups_are_a_fact_of_the_decision(book: ActingContext, ann: User) -> None:
    put_in_force(spec(rule("board", "review", "'board' in item.requester_groups"), YES), TENANT, ctx=book)
    decision = decide(asking(requester=ann.public_id), ctx=book)
    assert (decision.outcome, decision.reason_codes) == ("review", ["BOARD"])
    assert stored_facts(decision)["item"]["requester_groups"] == ["board", "emea"]
    define_group("board", [], ctx=book)
    assert stored_facts(decision)["item"]["requester_groups"] == ["board", "emea"]
    assert outcome(book, requester=ann.public_id) == "allow"
    assert requester_groups(ann.id, tenant_id=book.tenant_id) == ("emea",)


def test_a_policy_bound_to_two_groups_is_evaluated_once(book: ActingContext, ann: User) -> None:
    put_in_force(spec(YES), EMEA, ctx=book)
    upsert_overlay("payments", BOARD, ctx=book)
    decision = decide(asking(requester=ann.public_id), ctx=book)
    assert [(row["scope"], row["on"]) for row in decision.versions] == [("group", ["board", "emea"])]
    assert len(decision.trace) == 1


def test_bindings_are_queried_in_one_statement(book: ActingContext, ann: User) -> None:
    put_in_force(spec(YES), EMEA, ctx=book)
    asked = {"workflow": "payment_run", "channel": "web_main", "requester_id": ann.id, "at": NOON}
    rulebook_for(**asked, ctx=book)
    with CaptureQueriesContext(connection) as queries:
        found = rulebook_for(**asked, ctx=book)
    assert len(queries) == 1
    assert (found.requester_groups, [entry.on for entry in found.entries]) == (("board", "emea"), [("emea",)])


@pytest.mark.parametrize(
    ("instant", "said"),
    [
        (NOON - timedelta(milliseconds=1), "allow"),
        (NOON, "deny"),
        (NOON + HOUR - timedelta(milliseconds=1), "deny"),
        (NOON + HOUR, "allow"),
    ],
)
def test_a_time_window_is_half_open_and_uses_the_instant_of_the_decision(
    book: ActingContext, at: Any, instant: datetime, said: str
) -> None:
    put_in_force(spec(YES), TENANT, ctx=book, policy="wide")
    upsert_policy("holidays", spec(NO), ctx=book)
    upsert_overlay("holidays", PAYMENT_RUN, window=TimeWindow(NOON, NOON + HOUR), ctx=book)
    at(instant)
    decision = decide(asking(), ctx=book)
    assert decision.outcome == said
    assert stored_facts(decision)["ctx"]["now"] == clock.rfc3339(instant)


def test_the_instant_in_the_facts_decides_to_the_millisecond(book: ActingContext, at: Any) -> None:
    upsert_policy("late", spec(YES), ctx=book)
    upsert_overlay("late", TENANT, window=TimeWindow(NOON), ctx=book)
    almost = NOON + timedelta(microseconds=999)
    at(almost)
    assert whole_milliseconds(almost) == NOON
    assert outcome(book) == "allow"
    at(NOON - timedelta(microseconds=1))
    assert outcome(book) == "deny"


def test_another_time_window_changes_the_existing_overlay(book: ActingContext) -> None:
    put_in_force(spec(YES), ctx=book)
    until = TimeWindow(None, NOON)
    changed = upsert_overlay("payments", PAYMENT_RUN, window=until, ctx=book)
    same = upsert_overlay("payments", PAYMENT_RUN, window=until, ctx=book)
    assert (changed.change, same.change) == ("changed", "unchanged")
    assert Overlay.objects.get().window == until
    (entry,) = receipts("overlay.changed")
    assert entry["outcome"] == {
        "overlay_id": changed.row.public_id,
        "scope": {"workflow": "payment_run"},
        "starts_at": None,
        "ends_at": "2026-12-24T12:00:00.000Z",
        "before": {"starts_at": None, "ends_at": None},
    }


def test_the_database_refuses_an_empty_time_window(book: ActingContext) -> None:
    version = put_in_force(spec(YES), ctx=book)
    with pytest.raises(IntegrityError, match="overlay_window_not_empty"), transaction.atomic():
        Overlay.objects.create(
            tenant_id=book.tenant_id, policy=version.policy, scope_kind="tenant", starts_at=NOON, ends_at=NOON
        )


@pytest.mark.parametrize(
    ("sent", "window"),
    [
        ({}, ALWAYS),
        ({"starts_at": None, "ends_at": None}, ALWAYS),
        ({"starts_at": "2026-12-24T13:00:00+01:00"}, TimeWindow(NOON)),
        ({"ends_at": "2026-12-24t12:00:00.000z"}, TimeWindow(None, NOON)),
        ({"starts_at": "2026-12-24"}, ["/starts_at"]),
        ({"starts_at": "2026-12-24T12:00:00"}, ["/starts_at"]),
        ({"starts_at": "2026-02-30T12:00:00Z"}, ["/starts_at"]),
        ({"starts_at": "2026-12-24T12:00:00.1234Z"}, ["/starts_at"]),
        ({"starts_at": 5, "ends_at": True}, ["/starts_at", "/ends_at"]),
        ({"starts_at": "0001-01-01T00:00:00+14:00"}, ["/starts_at"]),
        ({"starts_at": "2026-12-24T12:00:00Z", "ends_at": "2026-12-24T12:00:00Z"}, ["/ends_at"]),
    ],
)
def test_time_windows_are_parsed_from_rfc_3339(sent: dict[str, Any], window: Any) -> None:
    field_errors = FieldErrors()
    read = read_time_window(sent, "", field_errors)
    assert ([entry.pointer for entry in field_errors.found] or read) == window


WIDE = {"rules": [{**NO, "overridable": True}, rule("never", "deny", "false")]}


def overriding(*names: str) -> dict[str, Any]:
    return spec({**YES, "overrides": list(names)})


@pytest.mark.parametrize(
    ("names", "in_force", "found"),
    [
        (["wide/no"], {"wide": WIDE}, []),
        (["wide/never"], {"wide": WIDE}, [("/rules/0/overrides/0", "not_overridable")]),
        (["wide/no", "wide/nope"], {"wide": WIDE}, [("/rules/0/overrides/1", "unknown")]),
        (["wide/no"], {}, [("/rules/0/overrides/0", "unknown")]),
    ],
)
def test_overridden_rules_must_be_overridable(
    names: list[str], in_force: dict[str, Any], found: list[tuple[str, str]]
) -> None:
    field_errors = override_errors(overriding(*names), in_force)
    assert [(entry.pointer, entry.code) for entry in field_errors] == found
    drafted = override_errors(overriding(*names), in_force, is_draft=True)
    assert [(entry.pointer, entry.code) for entry in drafted] == (found if in_force else [])


def test_overriding_a_rule_that_is_not_overridable_is_refused_on_save(book: ActingContext) -> None:
    put_in_force(WIDE, TENANT, ctx=book, policy="wide")
    whole = {"kind": "Policy", "id": "narrow", "spec": overriding("wide/never")}
    with pytest.raises(errors.PolicyDocumentInvalid) as refused:
        draft_policy_version("narrow", whole, ctx=book)
    assert [entry.pointer for entry in refused.value.errors] == ["/spec/rules/0/overrides/0"]
    assert not PolicyVersion.objects.filter(policy__slug="narrow").exists()


def test_a_draft_can_override_a_policy_that_is_published_later(book: ActingContext) -> None:
    draft = draft_policy_version("narrow", overriding("wide/no"), ctx=book).row
    with pytest.raises(errors.PolicyDocumentInvalid, match="overridable"):
        publish_policy_version(draft, ctx=book)
    upsert_policy("wide", WIDE, ctx=book)
    assert publish_policy_version(draft, ctx=book).status == "published"


def test_a_scope_overrides_only_wider_scopes(book: ActingContext, ann: User) -> None:
    """Order: tenant → workflow → channel → group. Each scope overrides only earlier ones."""
    scopes = [TENANT, PAYMENT_RUN, WEB_MAIN, EMEA]
    put_in_force(WIDE, scopes[0], ctx=book, policy="wide")
    put_in_force(overriding("wide/no"), scopes[0], ctx=book, policy="narrow")
    for denying, wide in enumerate(scopes):
        for loosening, narrow in enumerate(scopes):
            Overlay.objects.all().delete()
            upsert_overlay("wide", wide, ctx=book)
            upsert_overlay("narrow", narrow, ctx=book)
            said = outcome(book, requester=ann.public_id)
            assert said == ("allow" if loosening > denying else "deny"), (wide, narrow)


def test_an_unknown_requester_is_in_no_group(book: ActingContext, ann: User) -> None:
    put_in_force(spec(NO), EMEA, ctx=book, policy="regional")
    put_in_force(spec(YES), TENANT, ctx=book)
    for requester in ("", "pr_someone", ids.public_id(ids.PRINCIPAL, ids.new_uuid())):
        assert outcome(book, requester=requester) == "allow"


def test_packs_at_the_time_of_a_decision_are_not_guessed() -> None:
    """A replay reports it instead of using the current packs."""
    facts = {"item": {"workflow": "payment_run", "channel": "", "requester_groups": ["emea"]}}
    assert matching_scopes([TENANT, PAYMENT_RUN, WEB_MAIN, EMEA, BOARD], facts) == [TENANT, PAYMENT_RUN, EMEA]
    with pytest.raises(ScopeNotRecordedError):
        matching_scopes([OverlayScope("pack", "payments")], facts)
    with pytest.raises(ScopeNotRecordedError):
        matching_scopes([EMEA], {"item": {"workflow": "payment_run", "channel": ""}})
