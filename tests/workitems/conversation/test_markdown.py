"""Markdown of comments: what is formatted, what stays text, and where links may lead."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workitems.conversation.markdown import as_html, mentions_in

ALLOWED_TAGS = {"a", "blockquote", "br", "code", "em", "li", "ol", "p", "pre", "span", "strong", "ul"}
HOSTILE = [
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "<svg/onload=alert(1)>",
    "[a](javascript:alert(1))",
    "[a](JaVaScRiPt:alert(1))",
    "[a](&#106;avascript:alert(1))",
    "[a](java\nscript:alert(1))",
    "[a](data:text/html;base64,PHNjcmlwdD4=)",
    "[a](vbscript:x)",
    "[a](file:///etc/passwd)",
    "[a](//evil.example/x)",
    "[a](/console/logout)",
    "![image](https://evil.example/pixel.png)",
    "<javascript:alert(1)>",
    '<https://ok.example/"onmouseover=alert(1)>',
    '[a](https://ok.example/"onmouseover="alert(1))',
    '[a](https://ok.example "title\\" onmouseover=alert(1)")',
    "`<b>`",
    "```\n</code></pre><script>alert(1)</script>\n```",
    "@<script>",
    "&lt;script&gt;",
    "<!-- x --><![CDATA[x]]>",
    "# heading\n\n| a | b |\n|---|---|\n| 1 | 2 |",
    "[a]: javascript:alert(1)\n\n[a]",
]


def tags_of(html: str) -> set[str]:
    return {name.lower() for name in re.findall(r"<\s*/?\s*([a-zA-Z!][a-zA-Z0-9]*)", html)}


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_text_becomes_harmless_html(text: str) -> None:
    html = as_html(text)
    assert tags_of(html) <= ALLOWED_TAGS
    for address in re.findall(r'href="([^"]*)"', html):
        assert address.startswith(("http://", "https://", "mailto:"))
    attributes = re.findall(r"<[a-z]+((?:\s[a-z]+=\"[^\"]*\")*)\s*/?>", html)
    assert len(attributes) == len(re.findall(r"<[a-z]", html)), "every tag has quoted attributes only"
    assert not re.search(r"<[^>]*\son[a-z]+=[^>]*>", re.sub(r'"[^"]*"', '""', html))


@given(st.text(alphabet=st.sampled_from("<>&\"'`*_[]()!@#- \n\\:/ahtpsjvcri:;=x\u202e"), max_size=200))
def test_any_text_becomes_harmless_html(text: str) -> None:
    assert tags_of(as_html(text, people=["a"])) <= ALLOWED_TAGS


def test_formatting_is_kept() -> None:
    html = as_html("**bold** *soft* `code`\n\n- one\n- two\n\n> quoted\n\n[site](https://a.example)")
    assert "<strong>bold</strong> <em>soft</em> <code>code</code>" in html
    assert "<li>one</li>" in html
    assert "<blockquote>" in html
    assert '<a class="t-link" href="https://a.example" title="https://a.example" rel="noopener nofollow ugc">' in html


def test_invisible_characters_are_shown() -> None:
    assert "U+202E" in as_html("pay \u202e42")
    assert "U+200B" in as_html("`a\u200bb`")


def test_mentions_outside_of_code_are_found() -> None:
    text = "@fay, @finn! @fay again; mail a@b.example, `@code` and\n\n```\n@block\n```\n> @quoted, (@vera)."
    assert mentions_in(text) == ["fay", "finn", "quoted", "vera"]


def test_only_people_who_are_notified_are_marked() -> None:
    html = as_html("@fay and @nobody", people=["fay"])
    assert '<span class="t-mention">@fay</span> and @nobody' in html


def test_large_nested_text_takes_bounded_time() -> None:
    for text in ("> " * 2000, "*" * 4000, "[" * 4000, "`" * 3999, "- " * 2000, "[a](" * 1000):
        assert as_html(text)
