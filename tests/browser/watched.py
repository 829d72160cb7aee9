"""Browser page that records all errors."""

from __future__ import annotations

from playwright.sync_api import ConsoleMessage, Page, Request, Response


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
