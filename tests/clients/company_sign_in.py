"""The steps of docs/tutorial/company-sign-in.md, and those of docs/how-to/sign-in.md that it leads to."""

from __future__ import annotations

import re
import textwrap
from typing import Final

import httpx

from tests.adversarial.server import REPOSITORY
from tests.clients.tutorial import BLOCK, Reader
from tests.receivers.oidc_provider import OidcProvider, running_provider

_PATH: Final = "/console/login/acme/corp"


def follow_company_sign_in(reader: Reader) -> None:
    """Follow the page: configure the provider, sign in with a group, leave the group, require the provider."""
    guide = (REPOSITORY / "docs" / "how-to" / "sign-in.md").read_text()
    steps = BLOCK.findall(guide.partition("## From nothing to sign-in\n")[2].partition("\n## ")[0])
    secret, tenant, document, apply = (textwrap.dedent(text) for _, text in steps)
    file = reader.folder / "sign-in" / "corp.yaml"
    file.parent.mkdir()
    with running_provider() as provider:
        file.write_text(document.replace("https://id.example.com", provider.issuer))
        for block in (secret, tenant, apply):
            reader.run(block)
        member = _signed_in(reader, provider, groups=["finance-team"])
        assert "Your pending decisions" in member.get("/console/").text
        assert ">Corp" in member.get("/console/sign-in-methods/").text
        history = re.sub(r"<[^>]*>|\s+", " ", member.get("/console/security-history/").text)
        assert re.search(r"Role received +provider: +corp +role: +approver", history), history
        assert "Your roles have no permissions" in _signed_in(reader, provider, groups=[]).get("/console/").text
        file.write_text(file.read_text() + "  enforce: true\n")
        reader.run(apply.splitlines()[0])
        assert "Your pending decisions" in _signed_in(reader, provider, groups=["finance-team"]).get("/console/").text


def _signed_in(reader: Reader, provider: OidcProvider, *, groups: list[str]) -> httpx.Client:
    """Open the address of the page as a person of these groups. Return the browser."""
    browser = httpx.Client(base_url=f"http://localhost:{reader.server.port}")
    asked = browser.get(_PATH).headers["Location"]
    answer = browser.get(f"{_PATH}/callback", params=provider.authorize(asked, groups=groups, acr="mfa"))
    assert answer.headers["Location"] == "/console/", answer.text
    return browser
