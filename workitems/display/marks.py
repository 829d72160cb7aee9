"""Marks in front of titles, for lists and messages."""

from __future__ import annotations

from django.utils.translation import gettext as _

from threada_site.kernel.lookalikes import has_mixed_word


def with_mark(title: str) -> str:
    """Return a title with a mark in front if one of its words has letters of several scripts."""
    return _("[mixed scripts] {title}").format(title=title) if has_mixed_word(title) else title
