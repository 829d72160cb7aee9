"""Browser page that records all errors, and a visitor who counts clicks and looks at each page on the way."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, ConsoleMessage, Page, Request, Response, expect

from tests.factories import PASSWORD

RULES = {"resultTypes": ["violations"], "runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "best-practice"]}
SIZES = {"wide": {"width": 1440, "height": 900}, "narrow": {"width": 390, "height": 800}}


class Watched:
    """`page`, and in `complaints` its script errors, failed requests, answers above 399 and policy violations."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.complaints: list[str] = []
        page.on("console", self._console)
        page.on("pageerror", lambda error: self.complaints.append(f"error: {error}"))
        page.on("requestfailed", self._failed)
        page.on("response", self._answered)

    def sign_in(self, name: str, password: str) -> None:
        self.page.goto("/console/")
        self.page.fill("input[name=username]", name)
        self.page.fill("input[name=password]", password)
        self.page.click("button[type=submit]")
        self.page.wait_for_url("**/console/")

    def sign_out(self) -> None:
        self.page.goto("about:blank")  # so that no script of the page asks without a session
        self.page.context.clear_cookies()

    def overflows(self) -> bool:
        """Return True if the page is wider than its window."""
        return bool(self.page.evaluate("document.documentElement.scrollWidth > window.innerWidth"))

    def _console(self, message: ConsoleMessage) -> None:
        # Violations of the content security policy are console errors.
        if message.type in ("error", "warning"):
            self.complaints.append(f"console: {message.text}")

    def _failed(self, request: Request) -> None:
        # A navigation that another one replaces is not an error.
        if request.failure != "net::ERR_ABORTED":
            self.complaints.append(f"failed: {request.url} {request.failure}")

    def _answered(self, response: Response) -> None:
        if response.status >= 400:
            self.complaints.append(f"{response.status}: {response.url}")


@dataclass
class Visitor:
    """Page of one person. Each click and each choice in a list counts, typing is free.

    With `THREADA_PICTURES=<folder>` each page that `look` sees is also written there as a PNG.
    """

    watched: Watched
    look_name: str
    clicks: int = 0
    wrong: list[str] = field(default_factory=list)

    @property
    def page(self) -> Page:
        return self.watched.page

    def click(self, selector: str) -> None:
        self.page.click(selector)
        self.clicks += 1

    def choose(self, selector: str, label: str) -> None:
        self.page.select_option(selector, label=label)
        self.clicks += 1

    def menu(self, entry: str) -> None:
        """Click an entry of the menu at the side."""
        self.click(f"#nav-sidebar-apps a:has-text('{entry}')")

    def fill(self, **texts: str) -> None:
        """Type into the fields with these names."""
        for name, text in texts.items():
            self.page.fill(f"main [name={name}]", text)

    def look(self, name: str, text: str, *, with_axe: bool = True) -> None:
        """Wait for `text`, then note serious problems of the page and content that is wider than the window.

        `with_axe` is False for pages that `test_accessibility` examines.
        """
        expect(self.page.locator("body")).to_contain_text(text)
        if folder := os.environ.get("THREADA_PICTURES"):
            self.page.screenshot(path=str(Path(folder) / f"{name}-{self.look_name}.png"), full_page=True)
        if self.watched.overflows():
            self.wrong.append(f"{name} is wider than the window")
        if not with_axe:
            return
        for violation in Axe().run(self.page, options=RULES).response["violations"]:
            if violation["impact"] in ("serious", "critical"):
                self.wrong += [f"{name}: {violation['id']} {node['html'][:200]}" for node in violation["nodes"]]

    def leave(self) -> None:
        """Close the page. Fails if anything was wrong on one of the pages."""
        self.page.context.close()
        wrong = self.wrong + self.watched.complaints
        assert not wrong, wrong


def opened(chromium: Browser, server: str, *, size: str = "wide", theme: Any = "light") -> Visitor:
    """Return the page of a person who is not signed in."""
    context = chromium.new_context(base_url=server, viewport=SIZES[size], color_scheme=theme)  # type: ignore[arg-type]
    return Visitor(Watched(context.new_page()), f"{theme}-{size}")


def signed_in(name: str, chromium: Browser, server: str, *, size: str = "wide", theme: Any = "light") -> Visitor:
    person = opened(chromium, server, size=size, theme=theme)
    person.watched.sign_in(name, PASSWORD)
    return person
