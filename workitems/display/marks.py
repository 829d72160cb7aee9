"""Marks in front of titles, for lists and messages."""

from __future__ import annotations

from typing import Final

from django.utils.translation import gettext as _

from threada_site.kernel.lookalikes import has_mixed_word

LOOKALIKE: Final = "[look-alike] "
"""Beginning of the stored title of an item with a value that resembles an earlier one."""


def with_mark(title: str) -> str:
    """Return a title with marks in front: one of its values resembles an earlier one; a word has several scripts."""
    if title.startswith(LOOKALIKE):
        return _("[look-alike] {title}").format(title=with_mark(title.removeprefix(LOOKALIKE)))
    return _("[mixed scripts] {title}").format(title=title) if has_mixed_word(title) else title
