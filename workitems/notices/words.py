"""Sentences of a message. Pure.

Mail servers, chat services and lock screens are outside of the tenant's control. A message therefore contains only
the title that the workflow declares, the workflow, the action and its integration, ids and times: no other payload
value, no comment, no custom question. The console page behind the link shows the contents. Cases about a person and
sensitive data classes have no title in messages.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Final
from zoneinfo import ZoneInfo

from workitems.notices.rules import CONVERSATION, Event

_RESULTS: Final = {
    "approved": "was approved",
    "rejected": "was rejected",
    "expired": "ended without a decision",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class News:
    """Facts of a message. `action` is empty for a decision on the request itself; `status` is set once decided.

    `actor` is the name of the person who wrote, for events of a conversation.
    `title` is empty unless messages may contain it.
    """

    event: Event
    tenant: str
    workflow: str
    action: str = ""
    integration: str = ""
    is_review: bool = False
    status: str = ""
    actor: str = ""
    title: str = ""


def subject_of_news(news: News) -> str:
    """Return the subject line."""
    thing = news.title or (f"{news.action} for {news.workflow}" if news.action else news.workflow)
    said = {
        Event.ASSIGNED: f"Decision requested: {thing}",
        Event.REMINDER: f"Still waiting for your decision: {thing}",
        Event.ESCALATED: f"Escalated to you: {thing}",
        Event.DECIDED: f"Decided: {thing} {_RESULTS.get(news.status, '')}".rstrip(),
        Event.COMMENTED: f"New comment: {thing}",
        Event.MENTIONED: f"You were mentioned: {thing}",
        Event.QUESTION: f"Question about your request: {thing}",
        Event.ANSWER: f"Question answered: {thing}",
    }[news.event]
    return f"[{news.tenant}] {said}"


def question_of_news(news: News) -> str:
    """Return the question of the decision in one sentence; empty for a conversation."""
    if news.event in CONVERSATION:
        return ""
    if news.action:
        return f"Should {news.action} be executed on {news.integration}?"
    if news.is_review:
        return f"Is this {news.workflow} request in order?"
    return f"Should this {news.workflow} request go ahead?"


def sentence_of_news(news: News) -> str:
    """Return the reason for the message in one sentence."""
    actor = news.actor or "Somebody"
    return {
        Event.ASSIGNED: "A decision is pending for you or for somebody with your role.",
        Event.REMINDER: "A decision is still pending for you or for somebody with your role.",
        Event.ESCALATED: "A decision was escalated to you. You may decide it now.",
        Event.DECIDED: f"A case that you took part in {_RESULTS.get(news.status, 'was decided')}.",
        Event.COMMENTED: f"{actor} commented on a work item that you watch or take part in.",
        Event.MENTIONED: f"{actor} mentioned you in a comment on a work item.",
        Event.QUESTION: f"{actor} asks you a question about your request. The request waits for your answer.",
        Event.ANSWER: f"{actor} answered a question about a work item that you watch or take part in.",
    }[news.event]


def time_in_zone(instant: datetime, zone: str) -> str:
    """Return for example `25 November 2026, 16:30 (Europe/Berlin, UTC+01:00)`."""
    local = instant.astimezone(ZoneInfo(zone))
    offset = local.strftime("%z")
    return f"{local.day} {local:%B %Y, %H:%M} ({zone}, UTC{offset[:3]}:{offset[3:5]})".replace(", UTC+00:00", "")
