"""Pages are in the language of the reader. The API, receipts and logs stay English."""

from __future__ import annotations

import re
from datetime import UTC, datetime

import pytest
from django.conf import settings
from django.test import Client

from telemetry.models import Receipt
from tests.console.sign_in import Console
from tests.journeys.demo import Demo
from threada_site.console.translations.catalogs import (
    faults,
    missing,
    read_catalog,
    stored_texts,
    texts_of,
    updated_catalog,
)
from threada_site.database.unit_of_work import unit_of_work
from threada_site.tenancy.models import User

FORBIDDEN = re.compile(r"\b(staff|principals?|memberships?)\b", re.IGNORECASE)
PAGE = "/console/time-zone/"
OTHERS = [code for code, _ in settings.LANGUAGES if code != "en"]


def test_first_the_one_chosen_then_the_browsers_then_english(demo: Demo, console: Console) -> None:
    browser = console("finance-1")
    page = browser.get(PAGE)
    assert "Save language and time zone" in page.content.decode()
    assert page.headers["Content-Language"] == "en"
    german = {"Accept-Language": "de-AT,de;q=0.9,en;q=0.5"}
    assert "Sprache und Zeitzone speichern" in browser.get(PAGE, headers=german).content.decode()
    assert '<html lang="de"' in browser.get(PAGE, headers=german).content.decode()
    for unknown in ("xx", "../../etc/passwd", "*", "de" * 500):
        assert browser.get(PAGE, headers={"Accept-Language": unknown}).headers["Content-Language"] == "en"
    assert browser.post(PAGE, {"language": "de"}).status_code == 302
    assert "Sprache und Zeitzone sind gespeichert." in browser.get("/console/").content.decode()
    browser.post(PAGE, {"language": "en"})
    assert browser.get(PAGE, headers=german).headers["Content-Language"] == "en"
    browser.post(PAGE, {})
    assert browser.get(PAGE, headers=german).headers["Content-Language"] == "de"


def test_choosing_leaves_a_receipt_and_takes_no_nonsense(demo: Demo, console: Console) -> None:
    browser = console("finance-1")
    assert browser.post(PAGE, {"language": "tlh"}).status_code == 422
    assert User.objects.get(username="finance-1").language == ""
    browser.post(PAGE, {"language": "de"})
    browser.post(PAGE, {"language": "de"})
    with unit_of_work(demo.tenant.id):
        assert Receipt.objects.filter(kind="principal.language_set").count() == 1


def test_public_pages_follow_the_browser_and_say_so(db: None) -> None:
    page = Client().get("/console/login/", headers={"Accept-Language": "de"})
    assert page.headers["Content-Language"] == "de"
    assert "Accept-Language" in page.headers["Vary"]


def test_the_api_stays_english(demo: Demo) -> None:
    User.objects.update(language="de")
    refused = demo.client.get("/work-items/wi_0", headers={"Accept-Language": "de"})
    assert refused.status_code == 404
    assert refused.json()["detail"] == "The resource does not exist. Check the id and the tenant."
    assert "Content-Language" not in refused.headers


@pytest.mark.parametrize("language", OTHERS)
def test_stored_catalogs_agree(language: str) -> None:
    """The `.mo` file is that of the `.po` file, and the `.po` file has the placeholders of its texts."""
    catalog = read_catalog(language)
    assert stored_texts(language) == {key: text for key, text in texts_of(catalog).items() if any(text)}
    assert faults(catalog) == []


@pytest.mark.parametrize("language", OTHERS)
def test_every_text_has_a_translation(language: str) -> None:
    """If this fails, run `manage.py write_translations` and translate the empty `msgstr` lines."""
    catalog = updated_catalog(language)
    assert missing(catalog) == []
    assert set(texts_of(catalog)) == set(texts_of(read_catalog(language)))


@pytest.mark.parametrize("language", OTHERS)
def test_no_text_uses_a_word_of_the_code(language: str) -> None:
    """People read about people, accounts and members."""
    marked = [text for _, texts in texts_of(updated_catalog(language)) for text in texts]
    assert [text for text in marked if FORBIDDEN.search(text)] == []


@pytest.mark.parametrize("language", OTHERS)
def test_every_marked_text_can_be_extracted(language: str) -> None:
    marked = {message.id for message in updated_catalog(language) if message.id}
    assert {"Language and time zone", "browser's time zone"} <= marked


def test_mails_are_in_the_language_of_the_recipient(demo: Demo) -> None:
    from django.utils import translation

    from workitems.notices.words import Event, News, subject_of_news, time_in_zone

    news = News(event=Event.ASSIGNED, tenant="acme", workflow="payments", action="pay", integration="bank")
    assert subject_of_news(news) == "[acme] Decision requested: pay for payments"
    with translation.override("de"):
        assert subject_of_news(news) == "[acme] Entscheidung gebraucht: pay für payments"
        assert time_in_zone(datetime(2026, 5, 3, 7, 5, tzinfo=UTC), "UTC") == "3. Mai 2026, 07:05 (UTC)"
