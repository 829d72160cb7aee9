"""Sentences of a message.

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

from django.utils import dateformat
from django.utils.translation import gettext as _
from django.utils.translation import gettext_noop

from workitems.notices.rules import WITHOUT_STEP, Event

_DECIDED: Final = {
    "approved": gettext_noop("Decided: {thing} was approved"),
    "rejected": gettext_noop("Decided: {thing} was rejected"),
    "expired": gettext_noop("Decided: {thing} ended without a decision"),
    "": gettext_noop("Decided: {thing}"),
}
_RESULTS: Final = {
    "approved": gettext_noop("A case that you took part in was approved."),
    "rejected": gettext_noop("A case that you took part in was rejected."),
    "expired": gettext_noop("A case that you took part in ended without a decision."),
    "": gettext_noop("A case that you took part in was decided."),
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
    thing = news.title or news.workflow
    if news.action and not news.title:
        thing = _("{action} for {workflow}").format(action=news.action, workflow=news.workflow)
    said = {
        Event.ASSIGNED: _("Decision requested: {thing}"),
        Event.REMINDER: _("Still waiting for your decision: {thing}"),
        Event.ESCALATED: _("Escalated to you: {thing}"),
        Event.DECIDED: _(_DECIDED.get(news.status, _DECIDED[""])),
        Event.COMMENTED: _("New comment: {thing}"),
        Event.MENTIONED: _("You were mentioned: {thing}"),
        Event.QUESTION: _("Question about your request: {thing}"),
        Event.ANSWER: _("Question answered: {thing}"),
        Event.UNDO_OVERDUE: _("Did not end by itself: {thing}"),
    }[news.event]
    return f"[{news.tenant}] {said.format(thing=thing)}"


def question_of_news(news: News) -> str:
    """Return the question of the decision in one sentence; empty without a decision step."""
    if news.event in WITHOUT_STEP:
        return ""
    if news.action:
        return _("Should {action} be executed on {integration}?").format(
            action=news.action, integration=news.integration
        )
    if news.is_review:
        return _("Is this {workflow} request in order?").format(workflow=news.workflow)
    return _("Should this {workflow} request go ahead?").format(workflow=news.workflow)


def sentence_of_news(news: News) -> str:
    """Return the reason for the message in one sentence."""
    actor = news.actor or _("Somebody")
    return {
        Event.ASSIGNED: _("A decision is pending for you or for somebody with your role."),
        Event.REMINDER: _("A decision is still pending for you or for somebody with your role."),
        Event.ESCALATED: _("A decision was escalated to you. You may decide it now."),
        Event.DECIDED: _(_RESULTS.get(news.status, _RESULTS[""])),
        Event.COMMENTED: _("{actor} commented on a work item that you watch or take part in."),
        Event.MENTIONED: _("{actor} mentioned you in a comment on a work item."),
        Event.QUESTION: _("{actor} asks you a question about your request. The request waits for your answer."),
        Event.ANSWER: _("{actor} answered a question about a work item that you watch or take part in."),
        Event.UNDO_OVERDUE: _(
            "{action} on {integration} should have ended by itself and is still in force. Threada tries every hour."
        ),
    }[news.event].format(actor=actor, action=news.action, integration=news.integration)


def time_in_zone(instant: datetime, zone: str) -> str:
    """Return for example `25 November 2026, 16:30 (Europe/Berlin, UTC+01:00)`."""
    local = instant.astimezone(ZoneInfo(zone))
    offset = local.strftime("%z")
    said = dateformat.format(local, _("j F Y, H:i"))
    return f"{said} ({zone}, UTC{offset[:3]}:{offset[3:5]})".replace(", UTC+00:00", "")
