"""Commands of how-to and operations pages, run as they are printed in a tenant `acme` with the payment pack."""

from __future__ import annotations

import io
import re
from pathlib import Path
from typing import Final

import pytest
from django.core.management import CommandError, call_command

from tests.architecture.test_command_blocks import ROOT, blocks, commands
from tests.factories import acting_system, make_principal
from threada_site.database.unit_of_work import unit_of_work
from threada_site.kernel.errors.base import ThreadaError
from threada_site.tenancy.models import Tenant
from workitems.gallery.catalogue import gallery_pack
from workitems.gallery.installation import install_from_gallery

PAGES: Final = (
    "docs/how-to/freeze.md",
    "docs/operations/executions.md",
    "docs/operations/quotas.md",
    "docs/operations/accounts.md",
    "docs/how-to/clients.md",
    "docs/how-to/erase-a-person.md",
)
OWN: Final = "run by tests/journeys/test_documented_commands.py"


def test_commands_of_the_pages_do_what_they_say(
    transactional_db: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    call_command("create_tenant", "acme", stdout=io.StringIO())
    acme = Tenant.objects.get(slug="acme")
    with unit_of_work(acme.id):
        install_from_gallery(gallery_pack("payments"), ctx=acting_system(acme))
    for name in ("nora", "ada", "second"):
        make_principal(acme, name, roles=["approver"])
    for name in ("invoice-bot", "buyer"):
        make_principal(acme, name, kind="agent", roles=["client"])
    ran, failed, lifted = 0, [], set[str]()
    for name in PAGES:
        output = ""
        for mark, text in blocks(ROOT / name):
            if mark != OWN:
                continue
            for command in commands(text):
                freezes = [freeze for freeze in re.findall(r"fz_\w+", output) if freeze not in lifted]
                words = [word.replace("fz_…", freezes[0] if freezes else "") for word in command]
                lifted |= {*words} & {*freezes}
                out = io.StringIO()
                try:
                    if "--help" not in words:
                        call_command(*words, stdout=out, stderr=io.StringIO())
                except (CommandError, ThreadaError, SystemExit) as error:
                    failed.append(f"{name}: {' '.join(words)}: {error}{out.getvalue()}")
                output, ran = out.getvalue() or output, ran + 1
    assert failed == []
    assert ran >= 20
