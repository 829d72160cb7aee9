"""The steps of docs/how-to/sign-in.md, followed literally."""

from __future__ import annotations

import re
import shlex
import textwrap
from pathlib import Path

import pytest
from django.conf import settings
from django.core.management import call_command
from django.test import Client

from tests.receivers.oidc_provider import OidcProvider
from tests.threada_site.sign_in.people import finish, sign_in_at
from tests.threada_site.sign_in.test_oidc import reason_of
from threada_site.database.unit_of_work import unit_of_work
from threada_site.identity.selectors import roles_of_member
from threada_site.tenancy.models import IdentityLink, Tenant

STEP = re.compile(r"^ *```(sh|yaml)\n(.*?)^ *```$", re.MULTILINE | re.DOTALL)


def steps() -> list[tuple[str, str]]:
    """Return language and text of the code blocks of the section that begins with nothing."""
    text = (Path(settings.THREADA_BASE_DIR) / "docs" / "how-to" / "sign-in.md").read_text()
    section = text.partition("## From nothing to sign-in\n")[2].partition("\n## ")[0]
    return [(language, textwrap.dedent(block)) for language, block in STEP.findall(section)]


def test_the_steps_lead_to_sign_in_with_roles_and_a_second_factor(
    db: None, provider: OidcProvider, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for language, block in steps():
        if language == "yaml":
            Path("sign-in").mkdir()
            Path("sign-in/corp.yaml").write_text(block.replace("https://id.example.com", provider.issuer))
            continue
        for line in block.splitlines():
            if line.startswith("export "):
                name, _, value = line.removeprefix("export ").partition("=")
                monkeypatch.setenv(name, value)
            else:
                call_command(*shlex.split(line.removeprefix("uv run manage.py ")))
    browser, answer = sign_in_at(provider, groups=["finance-team"], acr="mfa")
    assert (answer.status_code, answer["Location"]) == (302, "/console/")
    assert browser.get("/console/").status_code == 200
    acme = Tenant.objects.get(slug="acme")
    with unit_of_work(acme.id):
        person = IdentityLink.objects.get(tenant_id=acme.id).user
        assert roles_of_member(person, tenant_id=acme.id) == ["approver"]
    (sent,) = [authorization for path, _, authorization in provider.requests if path == "/token"]
    assert sent == "Basic dGhyZWFkYTpjbGllbnQtc2VjcmV0"
    assert reason_of(sign_in_at(provider, groups=["finance-team"], acr="pwd")[1]) == "identity_token_invalid"
    found = Client().post("/console/company-sign-in/", {"account": "ann@example.com"})["Refresh"]
    assert found.endswith("url=/console/login/acme/corp")
    other = Client()
    asked = other.get(found.partition("url=")[2])["Location"]
    assert finish(other, provider.authorize(asked, sub="person-2", acr="mfa")).status_code == 302
