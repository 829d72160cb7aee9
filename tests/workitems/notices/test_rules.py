"""The pure rules: what is skipped and why, when it is tried again, how it is worded."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta

import pytest

from workitems.notices.rules import (
    Channel,
    Event,
    SendFailure,
    Wishes,
    channels_of,
    is_overtaken,
    is_stale,
    reason_to_skip,
    wait_before_next,
)
from workitems.notices.words import News, question_of_news, sentence_of_news, subject_of_news, time_in_zone

RNG = random.Random(7)
NOW = datetime(2026, 7, 1, 12, 0, tzinfo=UTC)


def test_waits_double_and_end() -> None:
    refused = SendFailure("rejected_by_receiver", "x")
    for attempts, ceiling in ((1, 15), (2, 30), (5, 240), (9, 3600), (11, 3600)):
        wait = wait_before_next(refused, attempts=attempts, most=12, rng=RNG)
        assert wait is not None
        assert ceiling / 2 <= wait <= ceiling
    assert wait_before_next(refused, attempts=12, most=12, rng=RNG) is None
    for last in ({"is_final": True}, {"is_ambiguous": True}):
        assert wait_before_next(SendFailure("x", "x", **last), attempts=1, most=12, rng=RNG) is None
    asked = wait_before_next(SendFailure("receiver_rate_limited", "x", retry_after_s=100), attempts=1, most=12, rng=RNG)
    assert asked is not None
    assert 107.5 <= asked <= 115
    greedy = wait_before_next(
        SendFailure("receiver_rate_limited", "x", retry_after_s=1e9), attempts=1, most=12, rng=RNG
    )
    assert greedy is not None
    assert greedy <= 6 * 3600 + 15


@pytest.mark.parametrize(
    ("wishes", "channel", "is_set_up", "reason"),
    [
        (Wishes(mail_address="a@b.c"), Channel.MAIL, True, ""),
        (Wishes(), Channel.MAIL, True, "notice_no_address"),
        (Wishes(mail_address="a@b.c"), Channel.MAIL, False, "notice_channel_off"),
        (Wishes(mail_address="a@b.c", mail_events=["decided"]), Channel.MAIL, False, "notice_unsubscribed"),
        (Wishes(has_chat=True), Channel.CHAT, True, ""),
        (Wishes(has_chat=True, chat_events=[]), Channel.CHAT, True, "notice_unsubscribed"),
    ],
)
def test_reasons_for_not_notifying(wishes: Wishes, channel: Channel, is_set_up: bool, reason: str) -> None:
    assert reason_to_skip(Event.ASSIGNED, channel, wishes, is_set_up=is_set_up) == reason


def test_chat_concerns_only_who_set_it_up() -> None:
    assert channels_of(Wishes()) == (Channel.MAIL,)
    assert channels_of(Wishes(has_chat=True)) == (Channel.MAIL, Channel.CHAT)


OF_STEPS = {Event.ASSIGNED, Event.REMINDER, Event.ESCALATED}
"""Events that are overtaken by a vote or by the end of the step."""


def test_overtaken_and_stale_notices_are_recognised() -> None:
    for event in Event:
        assert is_overtaken(event, is_pending=True, has_voted=False) is False
        assert is_overtaken(event, is_pending=False, has_voted=False) is (event in OF_STEPS)
        assert is_overtaken(event, is_pending=True, has_voted=True) is (event in OF_STEPS)
    assert not is_stale(NOW - timedelta(days=3), now=NOW)
    assert is_stale(NOW - timedelta(days=3, microseconds=1), now=NOW)


def test_subjects_and_texts_of_messages() -> None:
    about = {"tenant": "acme", "workflow": "payments"}
    with_action = News(event=Event.ASSIGNED, action="pay", integration="bank", **about)
    assert subject_of_news(with_action) == "[acme] Decision requested: pay for payments"
    assert question_of_news(with_action) == "Should pay be executed on bank?"
    review = News(event=Event.REMINDER, is_review=True, **about)
    assert subject_of_news(review) == "[acme] Still waiting for your decision: payments"
    assert question_of_news(review) == "Is this payments request in order?"
    itself = News(event=Event.ESCALATED, **about)
    assert subject_of_news(itself) == "[acme] Escalated to you: payments"
    assert question_of_news(itself) == "Should this payments request go ahead?"
    assert sentence_of_news(itself) == "A decision was escalated to you. You may decide it now."
    for status, said in (
        ("approved", "was approved"),
        ("rejected", "was rejected"),
        ("expired", "ended without a decision"),
    ):
        decided = News(event=Event.DECIDED, status=status, **about)
        assert subject_of_news(decided) == f"[acme] Decided: payments {said}"
        assert sentence_of_news(decided) == f"A case that you took part in {said}."


def test_times_are_in_the_recipients_time_zone() -> None:
    assert time_in_zone(NOW, "UTC") == "1 July 2026, 12:00 (UTC)"
    assert time_in_zone(NOW, "Europe/Berlin") == "1 July 2026, 14:00 (Europe/Berlin, UTC+02:00)"
    assert time_in_zone(NOW, "Asia/Kathmandu") == "1 July 2026, 17:45 (Asia/Kathmandu, UTC+05:45)"
    assert time_in_zone(NOW, "America/New_York") == "1 July 2026, 08:00 (America/New_York, UTC-04:00)"
