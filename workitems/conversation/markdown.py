"""Markdown of comments as HTML: emphasis, code, lists, quotes and links. Everything else is text.

markdown-it-py with its preset `zero` knows no raw HTML, no images and no headings. Links lead to http, https and mailto
addresses only. Invisible characters are written as code points, as everywhere in the console.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Sequence
from functools import cache
from typing import Any, Final

from django.utils.html import escape
from django.utils.safestring import SafeString, mark_safe
from markdown_it import MarkdownIt
from markdown_it.token import Token

from threada_site.admin.fields import visible

RULES: Final = ("autolink", "backticks", "blockquote", "emphasis", "escape", "fence", "link", "list", "newline")
_LINK: Final = re.compile(r"(https?://|mailto:)[^\s\x00-\x1f]+\Z", re.IGNORECASE)
_MENTION: Final = re.compile(r"(?<![\w@./+-])@([a-z0-9][a-z0-9_-]{0,62})(?![\w@])")


def as_html(text: str, *, people: Collection[str] = ()) -> SafeString:
    """Return a comment as HTML. Mentions of `people` (usernames) are marked."""
    env = {"people": frozenset(people)}
    return mark_safe(_parser().render(text, env))  # noqa: S308  (the parser knows no HTML, and escapes every text)


def mentions_in(text: str) -> list[str]:
    """Return the usernames that `text` mentions by `@name` outside of code, in order and without repetition."""
    found = (name for piece in _texts(_parser().parse(text)) for name in _MENTION.findall(piece))
    return list(dict.fromkeys(found))


@cache
def _parser() -> MarkdownIt:
    parser = MarkdownIt("zero", {"breaks": True, "maxNesting": 20}).enable([*RULES])
    parser.validateLink = lambda url: _LINK.match(url) is not None  # type: ignore[method-assign]
    for name, rule in (
        ("text", _text),
        ("code_inline", _code),
        ("code_block", _block),
        ("fence", _block),
        ("link_open", _link),
    ):
        parser.add_render_rule(name, rule)
    return parser


def _texts(tokens: Sequence[Token]) -> Iterator[str]:
    for token in tokens:
        if token.type == "text":
            yield token.content
        elif token.children:
            yield from _texts(token.children)


def _text(_self: Any, tokens: Sequence[Token], place: int, _options: Any, env: Any) -> str:
    pieces = _MENTION.split(tokens[place].content)
    written: list[str] = [visible(pieces[0])]
    for name, rest in zip(pieces[1::2], pieces[2::2], strict=True):
        mention = f"@{name}"
        written += [f'<span class="t-mention">{mention}</span>' if name in env["people"] else mention, visible(rest)]
    return "".join(written)


def _code(_self: Any, tokens: Sequence[Token], place: int, _options: Any, _env: Any) -> str:
    return f"<code>{visible(tokens[place].content)}</code>"


def _block(_self: Any, tokens: Sequence[Token], place: int, _options: Any, _env: Any) -> str:
    return f'<pre tabindex="0"><code>{visible(tokens[place].content)}</code></pre>\n'


def _link(_self: Any, tokens: Sequence[Token], place: int, _options: Any, _env: Any) -> str:
    """Write the start of a link. Its title is the address, whatever the text of the link says."""
    address = escape(str(tokens[place].attrGet("href") or ""))
    return f'<a class="t-link" href="{address}" title="{address}" rel="noopener nofollow ugc">'
