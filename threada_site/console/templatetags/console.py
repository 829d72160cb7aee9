"""Template filters and tags of the console."""

from __future__ import annotations

from typing import Any

import orjson
from django import template
from django.utils.safestring import SafeString

from threada_site.admin import fields, html, words

register = template.Library()

register.filter("badge", html.badge)
register.filter("word", words.word)
register.filter("said", words.said)
register.filter("status", html.status)
register.filter("when", html.when)
register.filter("dated", html.dated)
register.filter("left", html.left)
register.filter("ago", html.left)
register.filter("in_list", html.in_list)
register.filter("code", html.code)
register.filter("tags", html.tags)
register.filter("visible", fields.visible)
register.filter("fields", fields.fields)
register.filter("citation", fields.citation)
register.filter("value", fields.value)


@register.filter
def as_json(value: Any) -> str:
    """Return a JSON value as indented text."""
    return orjson.dumps(value, option=orjson.OPT_INDENT_2, default=str).decode()


@register.filter
def numbered(text: str) -> list[tuple[int, str]]:
    """Return the lines of a text with their numbers."""
    return list(enumerate(text.splitlines(), start=1))


@register.simple_tag
def page_link(model: str, key: Any, text: Any = None) -> SafeString:
    """Return a link to a row's page."""
    return html.row_link(model, str(key) if key else None, text)


@register.simple_tag
def example_link(decision: str, title: str) -> SafeString:
    """Return a link to the page of a policy decision: the title of its work item, if known, with the id below."""
    return html.row_link("policies.policydecision", decision, html.titled(title, decision) if title else None)
