"""All texts of the console are marked for translation, and none uses a word of the code."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.conf import settings
from django.contrib.admin import site
from django.template.loader import get_template
from django.test import Client
from django.urls import NoReverseMatch, reverse

from tests.console.busy import Busy
from tests.console.sign_in import Console
from tests.console.translations.pseudo import data_of_tables, put_in_place, unmarked
from tests.examples import CHOSEN
from tests.journeys.demo import Demo
from threada_site.admin.forms import FORM_SPEC
from threada_site.database.unit_of_work import unit_of_work

TEMPLATES = Path(settings.BASE_DIR) / "templates"
ENGLISH_ONLY = ("docs/", "unfold/helpers/command.html")
"""Templates of the API's documentation, which is English, and without texts."""
FORBIDDEN = re.compile(r"\b(staff|principals?|memberships?)\b", re.IGNORECASE)
PAGES = (
    "index", "summary", "usage", "more", "time_zone", "notifications", "sign_in_methods", "second_factors", "sessions",
    "security_history", "mail_address", "password_change", "leave", "workitems_decisionstep_desk",
    "workitems_decisionstep_decision_statistics", "integrations_execution_operations", "telemetry_checkpoint_instance",
    "policies_overlay_effective", "catalogue", "own_requests",
)  # fmt: skip
PUBLIC = ("login", "company_sign_in", "password_reset")
GERMAN = {"Accept-Language": "de"}
PARTS = 6
"""Number of tests that share the pages, so that each ends in time on a slow machine."""


def addresses(browser: Client) -> Iterator[str]:
    """Yield the addresses of every list, of its first row, of their forms, and of all other pages."""
    for name in PAGES:
        try:
            yield reverse(f"admin:{name}")
        except NoReverseMatch:
            continue
    for model, model_admin in site._registry.items():
        name = f"admin:{model._meta.app_label}_{model._meta.model_name}"
        listed = reverse(f"{name}_changelist")
        yield listed
        rows = browser.get(listed).context["rows"]
        yield from [url for url, _ in rows[:1]]
        for method in model_admin._marked(FORM_SPEC):  # type: ignore[attr-defined]
            form = getattr(method, FORM_SPEC)
            if not form.of_row:
                yield f"{listed}{form.slug}/"
            elif rows:
                yield f"{rows[0][0]}{form.slug}/"


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.skipif(CHOSEN != "many", reason="takes minutes; part of the nightly run")
@pytest.mark.xfail(reason="Texts of document schemas and explanations of decisions are not marked yet.", strict=False)
@pytest.mark.parametrize("part", range(PARTS))
def test_every_page_is_marked(
    part: int, demo: Demo, busy_demo: Busy, console: Console, monkeypatch: pytest.MonkeyPatch
) -> None:
    browser = console("admin")
    pages = sorted(set(addresses(browser)))
    assert len(pages) > 100
    pages = pages[part::PARTS]
    with unit_of_work(demo.tenant.id):
        data = data_of_tables("Threada", "Deutsch", "English")
    put_in_place(monkeypatch)
    found: dict[str, set[str]] = {}
    for reader, wanted in ((browser, pages), (Client(), [reverse(f"admin:{name}") for name in PUBLIC])):
        for address in wanted:
            answer = reader.get(address, headers=GERMAN)
            if answer.status_code != 200 or answer.streaming:
                assert answer.status_code in (200, 302, 403, 404), (address, answer.status_code)
                continue
            page = answer.content.decode()
            assert "/change/" not in page, address
            for text in unmarked(page, data):
                found.setdefault(text, set()).add(address)
    if found:
        pytest.fail("\n".join(f"{text}: {min(where)}" for text, where in sorted(found.items())))


def templates() -> list[Path]:
    found = sorted(TEMPLATES.rglob("*.html"))
    return [path for path in found if not str(path.relative_to(TEMPLATES)).startswith(ENGLISH_ONLY)]


def unmarked_in_template(source: str) -> list[str]:
    """Return the texts of a template that are not inside a tag of translation."""
    text = re.sub(r"{% comment %}.*?{% endcomment %}|{#.*?#}", "", source, flags=re.DOTALL)
    text = re.sub(r"{% blocktrans(late)?\b.*?{% endblocktrans(late)? %}", "", text, flags=re.DOTALL)
    text = re.sub(r"<(script|style|code|kbd|pre)\b.*?</\1>", "", text, flags=re.DOTALL)
    text = re.sub(r'<span class="material-symbols.*?</span>', "", text, flags=re.DOTALL)
    text = re.sub(r"{%.*?%}|{{.*?}}", "", text, flags=re.DOTALL)
    attributes = re.findall(r'\s(?:aria-label|placeholder|title|alt|data-title)="([^"]*)"', text)
    plain = re.sub(r"<[^>]*>", "\n", text)
    texts = [line.strip() for line in [*plain.splitlines(), *attributes]]
    texts = [re.sub(r'\b(aria|data)-[a-z-]+="[^"]*"|\bt-[a-z-]+', "", line) for line in texts]
    return [line for line in texts if re.search(r"[A-Za-z]{2,}", re.sub(r"&\w+;|\b(API|Threada)\b", "", line))]


@pytest.mark.parametrize("path", templates(), ids=lambda path: str(path.relative_to(TEMPLATES)))
def test_every_template_is_marked(path: Path) -> None:
    get_template(str(path.relative_to(TEMPLATES)))
    assert unmarked_in_template(path.read_text()) == []


@pytest.mark.parametrize("path", templates(), ids=lambda path: str(path.relative_to(TEMPLATES)))
def test_templates_use_no_words_of_the_code(path: Path) -> None:
    source = path.read_text()
    texts = re.findall(r'{% translate (".*?"|\'.*?\')', source)
    texts += re.findall(r"{% blocktrans(?:late)?\b[^%]*%}(.*?){% endblocktrans", source, re.DOTALL)
    shown = [re.sub(r"{{.*?}}", "", text) for text in texts]
    assert [text for text in shown if FORBIDDEN.search(text)] == []
    assert "/change/" not in source
