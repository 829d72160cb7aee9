"""Marks in front of titles, for lists and messages."""

from __future__ import annotations

from typing import Final

from django.utils.translation import gettext as _

from threada_site.kernel.characters import has_turned_numbers
from threada_site.kernel.lookalikes import has_mixed_word

LOOKALIKE: Final = "[look-alike] "
"""Beginning of the stored title of an item with a value that resembles an earlier one."""


def with_mark(title: str) -> str:
    """Return a title with marks in front.

    A value resembles an earlier one; a word has several scripts; numbers are displayed in another order than written.
    """
    if title.startswith(LOOKALIKE):
        return _("[look-alike] {title}").format(title=with_mark(title.removeprefix(LOOKALIKE)))
    marked = _("[turned numbers] {title}").format(title=title) if has_turned_numbers(title) else title
    return _("[mixed scripts] {title}").format(title=marked) if has_mixed_word(title) else marked
