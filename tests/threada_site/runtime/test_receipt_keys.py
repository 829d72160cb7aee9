"""Keys of receipts in the processes of an instance: what each gets, and what happens without them."""

from __future__ import annotations

from pathlib import Path

import pytest
from django.core.management import CommandError, call_command
from pytest_django import Settings

from telemetry.receipts.keyring import ReceiptKeyring
from telemetry.receipts.signature import ROLES, ReceiptKeys
from telemetry.receipts.signing import receipt_keyring
from threada_site.runtime.backup.contents import keys_here
from threada_site.runtime.process_environments import environments
from threada_site.runtime.startup import NotSafeToRunError, refuse_unless_signing
from threada_site.tenancy.instance_membership import RECEIPT_KEYS, differing_facts
from threada_site.tenancy.models import Tenant

pytestmark = pytest.mark.django_db


@pytest.fixture
def data_dir(settings: Settings, tmp_path: Path) -> Path:
    settings.THREADA_DATA_DIR = tmp_path
    return tmp_path


def given(settings: Settings) -> ReceiptKeyring:
    """Set the variables as an operator of several machines does. Return their keys."""
    made = ReceiptKeyring.throw_away()
    settings.THREADA_RECEIPT_KEY = " ".join(str(made.private(role)) for role in ROLES)
    settings.THREADA_RECEIPT_PUBLIC_KEYS = " ".join(map(str, made.public()))
    return made


def test_each_process_of_up_gets_the_key_of_its_role_only(settings: Settings, data_dir: Path) -> None:
    made = given(settings)
    found = environments(have_accounts=False)
    assert {name: variables["THREADA_RECEIPT_KEY"] for name, variables in found.items()} == {
        "web": str(made.private("web")),
        "worker": str(made.private("worker")),
        "sealer": None,
    }
    assert {variables["THREADA_RECEIPT_PUBLIC_KEYS"] for variables in found.values()} == {
        settings.THREADA_RECEIPT_PUBLIC_KEYS
    }


def test_keys_in_files_are_in_no_environment(data_dir: Path) -> None:
    assert not any("THREADA_RECEIPT_KEY" in variables for variables in environments(have_accounts=False).values())


def test_process_does_not_start_without_its_key(data_dir: Path) -> None:
    refuse_unless_signing(*ROLES)
    (data_dir / "keys" / "receipt_key_web").unlink()
    refuse_unless_signing("worker", "command")
    with pytest.raises(NotSafeToRunError, match=r"Receipts cannot be signed:\n.*receipt_key_web is missing"):
        refuse_unless_signing("web")


def test_commands_say_that_their_key_is_missing(
    data_dir: Path, settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    settings.THREADA_BROKER_URL = "amqp://127.0.0.1:1"  # the worker of Celery needs one, and does not get to use it
    receipt_keyring().make()
    for role, arguments in (
        ("web", ["web"]),
        ("worker", ["worker"]),
        ("command", ["create_tenant", "globex", "--steward", "Mia"]),
    ):
        (data_dir / "keys" / f"receipt_key_{role}").unlink()
        with pytest.raises((SystemExit, CommandError)) as refused:
            call_command(*arguments)
        said = f"{refused.value} {capsys.readouterr().err}"
        assert f"receipt_key_{role} is missing" in said
        assert "manage.py receipt_keys rotate" in said
    assert not Tenant.objects.filter(slug="globex").exists()


def test_machine_with_other_public_keys_does_not_join(settings: Settings, data_dir: Path) -> None:
    given(settings)
    assert differing_facts(with_settings=False) == []
    given(settings)
    assert differing_facts(with_settings=False) == [RECEIPT_KEYS]


def test_printed_keys_fit_together(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    call_command("receipt_keys", "make")
    lines = [line for line in capsys.readouterr().out.splitlines() if not line.startswith("#")]
    *private, public = [line.partition("=")[2] for line in lines]
    for role, key in zip(ROLES, private, strict=True):
        assert ReceiptKeyring(tmp_path, private=key, public=public).problem(role) is None
    assert list(tmp_path.iterdir()) == []


def test_rotation_by_command_is_the_keys_of_the_instance(capsys: pytest.CaptureFixture[str], data_dir: Path) -> None:
    before = [str(key) for key in receipt_keyring().public()]
    assert differing_facts(with_settings=False) == []
    call_command("receipt_keys", "rotate")
    assert differing_facts(with_settings=False) == []
    capsys.readouterr()
    call_command("receipt_keys")
    shown = ReceiptKeys.parse(capsys.readouterr().out)
    assert [str(key.key) for key in shown if key.until] == before
    assert [key.key.name for key in shown if not key.until] == list(ROLES)


def test_rotation_of_keys_in_variables_is_refused(
    capsys: pytest.CaptureFixture[str], settings: Settings, data_dir: Path
) -> None:
    given(settings)
    with pytest.raises(SystemExit):
        call_command("receipt_keys", "rotate")
    assert "The keys of receipts are in THREADA_RECEIPT_KEY" in capsys.readouterr().err
    assert list(data_dir.iterdir()) == []


def test_backup_contains_the_keys(settings: Settings, data_dir: Path) -> None:
    receipt_keyring().make()
    names = ("receipt_public_keys", *(f"receipt_key_{role}" for role in ROLES))
    found = keys_here()
    assert {name: found[name] for name in names} == {name: (data_dir / "keys" / name).read_text() for name in names}
    made = given(settings)
    found = keys_here()
    assert found["receipt_key_web"] == f"{made.private('web')}\n"
    assert str(ReceiptKeys.parse(found["receipt_public_keys"])) == str(made.public())
