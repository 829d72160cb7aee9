"""What a message says. Pure, and free of what the case is about: no value of a payload, no comment, no free question.

A mail server, a chat service and a locked screen are all outside of the tenant's walls. So a message names the kind of
request, the action and its system, ids and times; what exactly is decided stands on the page behind the link alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Final
from zoneinfo import ZoneInfo

from workitems.notices.rules import Event

_RESULTS: Final = {
    "approved": "was approved",
    "rejected": "was rejected",
    "expired": "ended without a decision",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class News:
    """The facts of a message. `action` is empty where the request itself is decided, `status` but when it was."""

    event: Event
    tenant: str
    workflow: str
    action: str = ""
    integration: str = ""
    is_review: bool = False
    status: str = ""


def subject_of_news(news: News) -> str:
    """The subject line, on one line."""
    thing = f"{news.action} for {news.workflow}" if news.action else news.workflow
    said = {
        Event.ASSIGNED: f"Your decision is asked: {thing}",
        Event.REMINDER: f"Still waiting for your decision: {thing}",
        Event.ESCALATED: f"Escalated to you: {thing}",
        Event.DECIDED: f"Decided: {thing} {_RESULTS.get(news.status, '')}".rstrip(),
    }[news.event]
    return f"[{news.tenant}] {said}"


def question_of_news(news: News) -> str:
    """What is or was asked, in one sentence."""
    if news.action:
        return f"Should {news.action} be carried out on {news.integration}?"
    if news.is_review:
        return f"Is this {news.workflow} request in order?"
    return f"Should this {news.workflow} request go ahead?"


def sentence_of_news(news: News) -> str:
    """Why this person is told."""
    return {
        Event.ASSIGNED: "A decision waits for you, or for somebody with your role.",
        Event.REMINDER: "A decision still waits for you, or for somebody with your role.",
        Event.ESCALATED: "A decision was escalated: you may decide it too now.",
        Event.DECIDED: f"What you had a part in {_RESULTS.get(news.status, 'was decided')}.",
    }[news.event]


def time_in_zone(instant: datetime, zone: str) -> str:
    """`25 November 2026, 16:30 (Europe/Berlin, UTC+01:00)`."""
    local = instant.astimezone(ZoneInfo(zone))
    offset = local.strftime("%z")
    return f"{local.day} {local:%B %Y, %H:%M} ({zone}, UTC{offset[:3]}:{offset[3:5]})".replace(", UTC+00:00", "")
