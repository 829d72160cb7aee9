"""docs/how-to/provisioning.md, followed: from its documents and command to a person who signs in with a role."""

from __future__ import annotations

import io
import re
import shlex
import subprocess
import sys
import textwrap
from pathlib import Path

from django.core.management import call_command

from tests.factories import make_principal
from tests.receivers.oidc_provider import OidcProvider
from tests.threada_site.scim.provisioning import Provisioning
from tests.threada_site.sign_in.conftest import provider
from tests.threada_site.sign_in.people import sign_in_at
from threada_site.database.unit_of_work import unit_of_work
from threada_site.environment import BASE_DIR
from threada_site.identity.selectors import roles_of_member
from threada_site.tenancy.models import IdentityLink, Tenant

__all__ = ["provider"]  # a fixture
PAGE = (Path(BASE_DIR) / "docs/how-to/provisioning.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    found = re.findall(rf"^ *```{language}\n(.*?)^ *```", PAGE, flags=re.DOTALL | re.MULTILINE)
    return [textwrap.dedent(block) for block in found]


def test_steps_lead_to_people_who_sign_in_with_roles(acme: Tenant, provider: OidcProvider, tmp_path: Path) -> None:
    make_principal(acme, "keeper", roles=())
    role, corp = blocks("yaml")
    (tmp_path / "provisioner.yaml").write_text(role)
    apply, create = [line for line in blocks("sh")[0].replace("\\\n", " ").splitlines() if line.strip()]
    token = ""
    for line in (apply, create):
        words = [
            word.replace("TENANT", "acme").replace("PERSON", "keeper").replace("FOLDER", str(tmp_path))
            for word in shlex.split(line)
        ]
        out = io.StringIO()
        call_command(words[3], *words[4:], stdout=out)
        token = out.getvalue().strip()
    scim = Provisioning(acme, token)
    scim.add_group("Finance Team", scim.add("ann@example.com", externalId="00u1")["id"])
    (tmp_path / "corp.yaml").write_text(corp.replace("https://id.example.com", provider.issuer))
    call_command("apply", str(tmp_path), "--tenant", "acme", stdout=io.StringIO())
    _, answer = sign_in_at(provider, oid="00u1")
    assert (answer.status_code, answer["Location"]) == (302, "/console/")
    with unit_of_work(acme.id):
        assert roles_of_member(IdentityLink.objects.get().user, tenant_id=acme.id) == ["approver"]


def test_scim_is_loaded_by_its_first_request() -> None:
    script = (
        "import os, sys, django; os.environ.setdefault('DJANGO_SETTINGS_MODULE', 'threada_site.settings'); "
        "django.setup(); import threada_site.urls; "
        "print([name for name in ('pydantic', 'scim2_models', 'scim2_server') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=BASE_DIR, capture_output=True, text=True, check=True)
    assert done.stdout.strip().splitlines()[-1] == "[]"
