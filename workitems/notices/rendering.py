"""Text of a message: subject, plain text, HTML, and a link to one page."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from urllib.parse import urlsplit

from django.conf import settings
from django.core.mail import EmailMultiAlternatives
from django.template.loader import render_to_string
from django.urls import reverse
from django.utils.translation import gettext as _

from threada_site.kernel import ids
from threada_site.personal_data.erasable_fields import is_erased
from workitems.display.marks import with_mark
from workitems.display.titles import is_default_title
from workitems.lifecycle import StepKind
from workitems.models import NoticeMessage, WorkItem
from workitems.notices.rules import Event
from workitems.notices.words import News, question_of_news, sentence_of_news, subject_of_news, time_in_zone

LOCAL: Final = "http://localhost:8000"
"""Base of links if THREADA_PUBLIC_URL is not set."""


@dataclass(frozen=True, slots=True)
class Letter:
    """Rendered message for one person."""

    subject: str
    text: str
    html: str
    brief: str
    """Short text for chat."""


def letter_of(message: NoticeMessage, *, tenant: str, zone: str, actor: str = "") -> Letter:
    """Return the text of `message` in the recipient's time zone `zone`. All relations must be loaded.

    `actor` is the name of the person who wrote, for events of a conversation.
    """
    step, event = message.notice.step, Event(message.notice.kind)
    if step is None:
        return _letter_without_step(message, tenant=tenant, actor=actor)
    execution = step.execution
    title = _title_of(message.notice.work_item)
    news = News(
        event=event,
        tenant=tenant,
        workflow=step.workflow,
        action=execution.action if execution else "",
        integration=execution.integration if execution else "",
        is_review=step.kind == StepKind.REVIEW,
        status=str(message.notice.facts.get("status", "")),
        title=title,
    )
    times: list[tuple[str, datetime | None]] = [(_("Asked"), step.opened_at)]
    if event is Event.DECIDED:
        times.append((_("Decided"), step.closed_at))
    else:
        times += [(_("Answer by"), step.respond_due_at), (_("Deadline"), step.expires_at)]
    return _letter(
        message,
        news,
        facts=[
            *(((_("Title"), title),) if title else ()),
            (_("Tenant"), tenant),
            (_("Workflow"), step.workflow),
            (_("Work item"), ids.public_id(ids.WORK_ITEM, step.work_item_id)),
            (_("Decision"), step.public_id),
            *((label, time_in_zone(instant, zone)) for label, instant in times if instant is not None),
        ],
        url=link("admin:workitems_decisionstep_change", step.public_id),
        verb=_("Read decision") if event is Event.DECIDED else _("Open decision"),
    )


def _letter_without_step(message: NoticeMessage, *, tenant: str, actor: str) -> Letter:
    """Return the text of a message about a conversation (who wrote, and where, never what) or an overdue undo."""
    item, facts = message.notice.work_item, message.notice.facts
    title = _title_of(item)
    news = News(
        event=Event(message.notice.kind),
        tenant=tenant,
        workflow=item.workflow,
        actor=actor,
        action=str(facts.get("action", "")),
        integration=str(facts.get("integration", "")),
    )
    if news.event is Event.UNDO_OVERDUE:
        url, verb = link("admin:integrations_execution_change", facts["execution_id"]), _("Open execution")
        return _letter(message, news, facts=_facts_of(item, title, tenant=tenant), url=url, verb=verb)
    is_requester = message.recipient_id == item.requester_id
    page = "admin:own_request" if is_requester else "admin:workitems_workitem_change"
    return _letter(
        message,
        news,
        facts=_facts_of(item, title, tenant=tenant),
        url=f"{link(page, item.public_id)}#conversation",
        verb=_("Answer question")
        if news.event is Event.QUESTION
        else _("Open request")
        if is_requester
        else _("Open work item"),
    )


def _facts_of(item: WorkItem, title: str, *, tenant: str) -> list[tuple[str, str]]:
    return [
        *(((_("Title"), title),) if title else ()),
        (_("Tenant"), tenant),
        (_("Workflow"), item.workflow),
        (_("Work item"), item.public_id),
    ]


def _letter(message: NoticeMessage, news: News, *, facts: list[tuple[str, str]], url: str, verb: str) -> Letter:
    context = {
        "name": message.recipient.display_name or message.recipient.username,
        "sentence": sentence_of_news(news),
        "question": question_of_news(news),
        "facts": facts,
        "url": url,
        "verb": verb,
        "subject": subject_of_news(news),
        "preferences": link("admin:notifications"),
    }
    return Letter(
        subject=subject_of_news(news),
        text=render_to_string("notices/mail.txt", context),
        html=render_to_string("notices/mail.html", context),
        brief=render_to_string("notices/chat.txt", context).strip(),
    )


def mail_of(message: NoticeMessage, letter: Letter, *, address: str) -> EmailMultiAlternatives:
    """Return the mail to one address. Its Message-ID is derived from the message id, to identify duplicates."""
    host = urlsplit(link("admin:index")).hostname or "localhost"
    about = message.notice.step or message.notice.work_item
    mail = EmailMultiAlternatives(
        subject=letter.subject,
        body=letter.text,
        from_email=settings.DEFAULT_FROM_EMAIL,
        to=[address],
        headers={
            "Message-ID": f"<{message.public_id}@{host}>",
            "References": f"<{about.public_id}@{host}>",  # mail programs group the mails about one step or item
            "Auto-Submitted": "auto-generated",
            "X-Auto-Response-Suppress": "All",
        },
    )
    mail.attach_alternative(letter.html, "text/html")
    return mail


def test_mail(address: str) -> EmailMultiAlternatives:
    """Return a test mail."""
    text = f"Mail of this instance works. Links in its messages begin with {link('admin:index')}\n"
    return EmailMultiAlternatives("Threada: a test", text, settings.DEFAULT_FROM_EMAIL, [address])


def link(name: str, *keys: Any) -> str:
    """Return the public URL of a console page."""
    return f"{settings.THREADA_PUBLIC_URL.rstrip('/') or LOCAL}{reverse(name, args=keys)}"


def _title_of(item: WorkItem) -> str:
    """Return the title that the workflow declares, for mail and chat.

    Empty for sensitive data classes, for cases about a person, whose contents are encrypted, and after an erasure.
    """
    is_omitted = item.data_class in settings.THREADA_SENSITIVE_DATA_CLASSES or item.subject_id is not None
    if is_omitted or is_erased(item.title) or is_default_title(str(item.title), item.id):
        return ""
    return with_mark(str(item.title))
