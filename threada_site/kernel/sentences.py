"""English sentences with values, which pages translate when they show them. Pure.

A sentence is a `str` with its English text: API, receipts and logs use it as it is. The catalogs of translations
contain its template.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from gettext import NullTranslations
from typing import Any, Final, Protocol, Self


class Translations(Protocol):
    """Catalog of a language, such as `django.utils.translation`."""

    def gettext(self, message: str, /) -> str: ...

    def ngettext(self, singular: str, plural: str, number: int, /) -> str: ...


_ENGLISH: Final = NullTranslations()


class Sentence(str):
    """Text in English that can be rendered in another language. Values that are sentences are translated too."""

    __slots__ = ("_render",)

    _render: Callable[[Translations], str]

    def __new__(cls, render: Callable[[Translations], str]) -> Self:
        self = super().__new__(cls, render(_ENGLISH))
        self._render = render
        return self

    def translated(self, translations: Translations) -> str:
        """Return the text in the language of `translations`."""
        return self._render(translations)


def sentence(template: str, /, **values: Any) -> Sentence:
    """Return the sentence of a template in the syntax of `str.format`."""
    return Sentence(lambda to: to.gettext(template).format(**_translated(values, to)))


def sentence_of_number(one: str, many: str, number: int, /, **values: Any) -> Sentence:
    """Return the sentence of the template for `number`, which both templates can contain as `{number}`."""
    return Sentence(lambda to: to.ngettext(one, many, number).format(**_translated({"number": number} | values, to)))


def sentence_list(parts: Iterable[str], separator: str) -> Sentence:
    """Return parts, joined by a separator that is translated, for example " and "."""
    kept = tuple(parts)
    return Sentence(lambda to: to.gettext(separator).join(in_language(part, to) for part in kept))


def stored_sentence(text: str) -> Sentence:
    """Return a text that was stored in English as a sentence. It is translated if the catalog contains all of it."""
    return Sentence(lambda to: to.gettext(text) if text else "")


def marked(text: str) -> str:
    """Return the text itself, which the catalogs then contain. Pages translate it when they show it."""
    return text


def in_language(text: str, translations: Translations) -> str:
    """Return a text in the language of `translations`. A text that is no sentence has no translation."""
    return text.translated(translations) if isinstance(text, Sentence) else text


def _translated(values: dict[str, Any], translations: Translations) -> dict[str, Any]:
    return {
        name: in_language(value, translations) if isinstance(value, str) else value for name, value in values.items()
    }
