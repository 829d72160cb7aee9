"""All texts of the console are marked for translation, and none uses a word of the code."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from zoneinfo import available_timezones

import pytest
from django.conf import settings
from django.contrib.admin import site
from django.template.loader import get_template
from django.test import Client
from django.urls import reverse

from tests.console.busy import Busy
from tests.console.sign_in import Console
from tests.console.translations.pseudo import data_of_tables, examples_of, put_in_place, unmarked
from tests.journeys.demo import Demo
from threada_site.admin.forms import FORM_SPEC
from threada_site.database.unit_of_work import unit_of_work
from threada_site.identity.providers.documents import SCHEMA
from threada_site.identity.trusted_issuers.document import TRUSTED_ISSUER_SCHEMA

TEMPLATES = Path(settings.BASE_DIR) / "templates"
ENGLISH_ONLY = ("docs/", "unfold/helpers/command.html")
"""Templates of the API's documentation, which is English, and without texts."""
PAGES = (
    "index", "summary", "usage", "more", "time_zone", "notifications", "sign_in_methods", "second_factors", "sessions",
    "security_history", "mail_address", "password_change", "leave", "workitems_decisionstep_desk",
    "workitems_decisionstep_decision_statistics", "integrations_execution_operations", "telemetry_checkpoint_instance",
    "policies_overlay_effective", "catalogue", "own_requests",
)  # fmt: skip
PUBLIC = ("login", "company_sign_in", "password_reset")
GERMAN = {"Accept-Language": "de"}
OTHER_DATA = (
    "Threada",
    "Deutsch",
    "English",
    "OpenID Connect",
    "EdDSA",
    "gzip",
    "kind: IdentityProvider",
    "kind: TrustedIssuer",
    "additionalProperties: false",
)
"""Names that are the same in every language."""


def pages(browser: Client) -> Iterator[tuple[str, Any]]:
    """Yield address and answer of every list, of its first row, of their forms, and of all other pages."""
    for name in PAGES:
        yield asked(browser, reverse(f"admin:{name}"))
    for model, model_admin in site._registry.items():
        name = f"admin:{model._meta.app_label}_{model._meta.model_name}"
        listed, answer = asked(browser, reverse(f"{name}_changelist"))
        yield listed, answer
        rows = answer.context["rows"]
        for url, _ in rows[:1]:
            yield asked(browser, url)
        for method in model_admin._marked(FORM_SPEC):  # type: ignore[attr-defined]
            form = getattr(method, FORM_SPEC)
            if not form.of_row:
                yield asked(browser, f"{listed}{form.slug}/")
            elif rows:
                yield asked(browser, f"{rows[0][0]}{form.slug}/")


def asked(browser: Client, address: str) -> tuple[str, Any]:
    return address, browser.get(address, headers=GERMAN)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_every_page_is_marked(demo: Demo, busy_demo: Busy, console: Console, monkeypatch: pytest.MonkeyPatch) -> None:
    """All pages once, in the pseudo-locale: texts are in brackets, or data."""
    browser = console("admin")
    with unit_of_work(demo.tenant.id):
        data = data_of_tables(
            *OTHER_DATA, *available_timezones(), *examples_of(SCHEMA.spec, TRUSTED_ISSUER_SCHEMA.spec)
        )
    put_in_place(monkeypatch)
    found: dict[str, str] = {}
    rendered = 0
    public = (asked(Client(), reverse(f"admin:{name}")) for name in PUBLIC)
    for address, answer in (*pages(browser), *public):
        if answer.status_code != 200 or answer.streaming:
            assert answer.status_code in (200, 302, 403, 404), (address, answer.status_code)
            continue
        rendered += 1
        page = answer.content.decode()
        assert "/change/" not in page, address
        found |= dict.fromkeys(unmarked(page, data), address)
    assert rendered > 100
    if found:
        pytest.fail("\n".join(f"{text}: {address}" for text, address in sorted(found.items())))


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


def test_templates_name_no_change_pages() -> None:
    assert [str(path) for path in templates() if "/change/" in path.read_text()] == []
