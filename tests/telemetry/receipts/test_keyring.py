"""Keys that sign receipts: files, variables, and what is wrong with them."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from telemetry.receipts.keyring import ReceiptKeyring
from telemetry.receipts.signature import ROLES, ReceiptKeys
from threada_site.kernel import clock
from threada_site.kernel.keyring import ReceiptKeyProblem


def modes(folder: Path) -> dict[str, str]:
    return {path.name: oct(path.stat().st_mode & 0o777) for path in sorted(folder.iterdir())}


def test_files_are_made_at_first_use(tmp_path: Path) -> None:
    keyring = ReceiptKeyring(tmp_path / "keys")
    assert [keyring.private(role).name for role in ROLES] == list(ROLES)
    assert modes(tmp_path / "keys") == {
        "receipt_key_command": "0o600",
        "receipt_key_web": "0o600",
        "receipt_key_worker": "0o600",
        "receipt_public_keys": "0o600",
    }
    assert [keyring.problem(role) for role in ROLES] == [None, None, None]
    assert str(ReceiptKeyring(tmp_path / "keys").public()) == str(keyring.public())


def test_lost_key_is_not_replaced_silently(tmp_path: Path) -> None:
    ReceiptKeyring(tmp_path).make()
    (tmp_path / "receipt_key_web").unlink()
    with pytest.raises(ReceiptKeyProblem, match=r"web's receipts .* is missing\. Restore it .* receipt_keys rotate\."):
        ReceiptKeyring(tmp_path).private("web")
    assert not (tmp_path / "receipt_key_web").exists()


def test_key_that_others_can_read_is_refused(tmp_path: Path) -> None:
    keyring = ReceiptKeyring(tmp_path)
    keyring.make()
    (tmp_path / "receipt_key_worker").chmod(0o640)
    with pytest.raises(ReceiptKeyProblem, match=r"can be read by others\. chmod 600 it\."):
        keyring.private("worker")
    assert keyring.problem("web") is None


def test_folder_that_cannot_be_written_names_the_variables(tmp_path: Path) -> None:
    (tmp_path / "keys").write_text("a file, not a folder")
    with pytest.raises(ReceiptKeyProblem, match="THREADA_RECEIPT_KEY and THREADA_RECEIPT_PUBLIC_KEYS"):
        ReceiptKeyring(tmp_path / "keys").private("web")


def test_variables_replace_the_files(tmp_path: Path) -> None:
    made = ReceiptKeyring.throw_away()
    web = ReceiptKeyring(tmp_path, private=str(made.private("web")), public=str(made.public()))
    assert str(web.private("web")) == str(made.private("web"))
    assert sorted(map(str, web.public())) == sorted(map(str, made.public()))
    with pytest.raises(ReceiptKeyProblem, match="THREADA_RECEIPT_KEY has no key of the role worker"):
        web.private("worker")
    assert list(tmp_path.iterdir()) == []


def test_public_variable_alone_reads_no_private_key(tmp_path: Path) -> None:
    public = str(ReceiptKeyring.throw_away().public())
    assert str(ReceiptKeyring(tmp_path, public=public).public()) == public
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("private", ["nonsense", "PRIVATE+KEY+web+00000000+AA=="])
def test_unreadable_variable_is_named(tmp_path: Path, private: str) -> None:
    with pytest.raises(ReceiptKeyProblem, match=r"THREADA_RECEIPT_KEY cannot be read"):
        ReceiptKeyring(tmp_path, private=private).private("web")


def test_key_that_is_not_public_is_a_problem(tmp_path: Path) -> None:
    keyring = ReceiptKeyring(tmp_path)
    keyring.make()
    (tmp_path / "receipt_key_web").write_text(str(ReceiptKeyring.throw_away().private("web")))
    assert "is not among the public keys" in str(keyring.problem("web"))


def test_rotation_retires_the_keys_before(tmp_path: Path) -> None:
    keyring, running = ReceiptKeyring(tmp_path), ReceiptKeyring(tmp_path)
    before = [str(key) for key in keyring.public()]
    old = str(running.private("web"))
    now = clock.now()
    public = keyring.rotate(now=now)
    assert [str(key.key) for key in public if key.until] == before
    assert {key.until for key in public if key.until} == {
        (now + timedelta(seconds=5)).replace(microsecond=(now.microsecond // 1000) * 1000)
    }
    assert [key.key.name for key in public if not key.until] == list(ROLES)
    assert str(running.private("web")) != old
    assert [running.problem(role) for role in ROLES] == [None, None, None]
    again = keyring.rotate(now=now + timedelta(hours=1))
    assert [key.until for key in again][6:] == [key.until for key in public][3:]


def test_retired_private_key_is_a_problem(tmp_path: Path) -> None:
    keyring = ReceiptKeyring(tmp_path)
    old = str(keyring.private("web"))
    keyring.rotate(now=clock.now())
    assert "is retired" in str(ReceiptKeyring(tmp_path, private=old, public=str(keyring.public())).problem("web"))


def test_public_keys_are_read_as_they_are_written(tmp_path: Path) -> None:
    public = ReceiptKeyring(tmp_path).public()
    assert str(ReceiptKeys.parse(str(public))) == str(public)
