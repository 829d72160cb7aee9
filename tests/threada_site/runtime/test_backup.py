"""Backup and restore, as docs/operations/backup.md describes them, and what is refused."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path, PurePosixPath

import psycopg
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from django.conf import settings as product
from django.core.management import call_command
from pytest_django import Settings

from telemetry.log.key_file import KeyFile, SigningKey
from telemetry.tlog.note import Signer, sign
from tests.journeys.worker import database_url
from tests.telemetry.sealed import NAME, SealingSetup, write_receipts
from threada_site import postgres
from threada_site.database.bootstrap import EMBEDDED_DATABASE
from threada_site.kernel import ids
from threada_site.kernel.json.canonical import canonical_bytes, sha256_hex
from threada_site.runtime.backup.age import backup_age_seconds, backup_metrics
from threada_site.runtime.backup.archive import MANIFEST, NOTE, Backup, BackupDamaged, new_archive
from threada_site.runtime.backup.checks import check_signature, check_version, known_keys, opened_keys
from threada_site.runtime.backup.contents import KEYS, SEALING_KEY, keys_as_bytes, write_key, write_stored_file
from threada_site.runtime.backup.create import known_migrations
from threada_site.runtime.backup.recovery_key import RecoveryKeyProblem, encrypt, fingerprint, new_recovery_key
from threada_site.runtime.backup.scheduled import ScheduleProblem, due_backup
from threada_site.tenancy.models import LastBackup, Tenant

PAGE = product.THREADA_BASE_DIR / "docs" / "operations" / "backup.md"
SECRET = {"secrets_key": "s" * 40}


@pytest.fixture
def elsewhere(tmp_path: Path) -> Iterator[dict[str, str]]:
    """Return the environment of commands on another machine, which is empty."""
    own = ("DATABASE_URL", "THREADA_PLATFORM_DATABASE_URL", "THREADA_SEALING_KEY_FILE", "THREADA_ANCHOR_DIR")
    folder = tmp_path / "elsewhere"
    inherited = {name: value for name, value in os.environ.items() if name not in (*own, "THREADA_PROCESS")}
    stored = {f"THREADA_{name}_DIR": str(folder / name.lower()) for name in ("EXPORT", "ATTACHMENT")}
    yield {**inherited, **stored, "THREADA_DATA_DIR": str(folder), "THREADA_LOG_LEVEL": "WARNING"}
    postgres.stop(folder)


def shell(words: str, environment: dict[str, str], *, status: int = 0) -> str:
    """Run a command of the page and return what it printed."""
    done = subprocess.run(
        [sys.executable, *words.removeprefix("uv run ").split()],
        check=False,
        cwd=product.THREADA_BASE_DIR,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
    )
    assert done.returncode == status, done.stdout + done.stderr
    return done.stdout + done.stderr


@pytest.mark.adversarial
@pytest.mark.django_db(transaction=True)
def test_an_instance_is_backed_up_and_restored_elsewhere_as_the_page_says(
    tenant: Tenant,
    tmp_path: Path,
    settings: Settings,
    elsewhere: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    sealing = SealingSetup(tmp_path)
    monkeypatch.setenv("THREADA_SEALING_KEY_FILE", str(sealing.key_file.path))
    monkeypatch.setenv("THREADA_ANCHOR_DIR", str(sealing.anchor.directory))
    write_receipts(tenant, 5)
    sealing.seal()
    attachment = Path(settings.STORAGES["attachments"]["OPTIONS"]["location"], "ab", "file-of-backup")
    attachment.parent.mkdir(exist_ok=True)
    attachment.write_bytes(b"encrypted")
    text = PAGE.read_text().replace("/safe/place", str(tmp_path)).replace("/backups", str(tmp_path))
    commands = [line for block in re.findall(r"```sh\n(.*?)```", text, re.DOTALL) for line in block.splitlines()]
    new_key, back_up, verify, restore, seal, verify_receipts = commands
    public_id = ids.public_id(ids.TENANT, tenant.id)

    call_command(*new_key.split()[3:])
    settings.THREADA_BACKUP_RECOVERY_KEY = capsys.readouterr().out.strip().partition("=")[2]
    call_command(*back_up.split()[3:])
    option = f"--key '{sealing.key_file.keys()[-1].verifier_key(NAME)}'"
    assert f"Keep this option of restore beside the recovery key: {option}" in capsys.readouterr().err
    (tmp_path / "sealing-key").write_text(f"{option.split(chr(39))[1]}\n")
    attachment.unlink()
    call_command(*verify.split()[3:])
    assert "all valid" in capsys.readouterr().out
    with pytest.raises(SystemExit):
        call_command(*back_up.split()[3:])
    assert "A backup replaces no file" in capsys.readouterr().err

    asked = shell(restore.removesuffix(" --log-name new"), elsewhere, status=2)
    assert "Keep the log names only if" in asked
    stopped = shell(re.sub(r" --key \S+", "", restore), elsewhere, status=1)
    assert "NOT VERIFIED" in stopped
    said = shell(restore, elsewhere)
    assert f"Signed with {NAME}+" in said
    assert f"{NAME}/restored-1/{public_id} goes on" in said
    shell(seal, elsewhere)
    verified = shell(verify_receipts, elsewhere)
    assert "all valid" in verified
    assert "keys that are not known" not in verified  # the public keys of receipts came with the backup
    folder = Path(elsewhere["THREADA_DATA_DIR"])
    assert (folder / "keys" / "sealing_key").read_text() == sealing.key_file.path.read_text()
    assert (folder / "keys" / "people_key").read_text().strip() == product.THREADA_PEOPLE_KEY
    assert (folder / "attachment" / "ab" / attachment.name).read_bytes() == b"encrypted"
    cluster = postgres.status(folder)
    assert cluster is not None
    with psycopg.connect(cluster.url(user=cluster.superuser, dbname=EMBEDDED_DATABASE)) as database:
        kinds = database.execute("SELECT kind FROM telemetry_receipt ORDER BY id DESC LIMIT 2").fetchall()
        assert kinds == [("log.acknowledged",), ("instance.restored",)]
        again = shell(restore, elsewhere, status=1)
        assert "contains 1 tenants, signed checkpoints of 1 logs" in again
        assert "Stop everything" in shell(f"{restore} --replace", elsewhere, status=1)  # `database` is connected
        names = database.execute("SELECT datname FROM pg_database WHERE datname LIKE 'threada%'").fetchall()
        assert names == [(EMBEDDED_DATABASE,)]


@pytest.mark.django_db(transaction=True)
def test_a_login_under_row_level_security_writes_no_backup(
    tenant: Tenant, tmp_path: Path, settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    settings.DATABASE_URL = database_url()
    with pytest.raises(SystemExit):
        call_command("backup", str(tmp_path / "none.backup"))
    said = capsys.readouterr().err
    assert "CREATE ROLE threada_backup LOGIN BYPASSRLS" in said
    assert "THREADA_BACKUP_DATABASE_URL" in said
    assert list(tmp_path.iterdir()) == []


class Made:
    """A small backup without a database, and its keys."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "made.backup"
        self.signing = SigningKey(NAME, Ed25519PrivateKey.generate())
        self.recovery, self.public = new_recovery_key()
        self.write(b"the rows", self.signing)

    def write(self, rows: bytes, signing: SigningKey, **facts: object) -> None:
        self.path.unlink(missing_ok=True)
        said = {"made_at": "now", "schema": known_migrations(), "recovery_key": fingerprint(self.public), **facts}
        keys = keys_as_bytes({**SECRET, SEALING_KEY: str(self.signing)})
        with new_archive(self.path, lambda _name, _size: None) as writer:
            writer.add("database.dump", [rows])
            sealed = encrypt(keys, public=self.public, bound_to=writer.binding(said))
            writer.add(KEYS, [sealed])
            writer.finish(said, lambda text: str(sign(text, [Signer(signing.name, signing.private_key)])))

    def changed(self, members: dict[str, bytes]) -> Path:
        """Return a copy in which these members have other bytes, or exist."""
        target = self.path.with_name("changed.backup")
        with zipfile.ZipFile(self.path) as old, zipfile.ZipFile(target, "w") as new:
            for name in old.namelist():
                new.writestr(name, members.pop(name, old.read(name)))
            for name, value in members.items():  # those that are left
                new.writestr(name, value)
        return target


def test_a_changed_backup_is_refused(tmp_path: Path) -> None:
    made = Made(tmp_path)
    vkey = made.signing.verifier_key(NAME)
    with Backup(made.path) as backup:
        backup.check(lambda _name, _size: None)
        keys = opened_keys(backup, made.recovery)
        assert keys == {**SECRET, SEALING_KEY: str(made.signing)}
        assert check_signature(backup, given=[vkey], keys=keys) == f"Signed with {vkey}."
        assert check_version(backup) is False
        with pytest.raises(RecoveryKeyProblem, match="another one"):
            opened_keys(backup, new_recovery_key()[0])
        manifest = json.loads(backup.manifest_bytes)
    assert b"ssss" not in made.path.read_bytes()

    for changes in ({"database.dump": b"the cows"}, {"more": b"x"}, {KEYS: b""}):
        with Backup(made.changed(changes)) as backup, pytest.raises(BackupDamaged):
            backup.check(lambda _name, _size: None)
    manifest["members"]["../outside"] = {"size": 1, "sha256": sha256_hex(b"x")}
    with Backup(made.changed({MANIFEST: canonical_bytes(manifest), "../outside": b"x"})) as backup:
        with pytest.raises(BackupDamaged, match="leads out of the backup"):
            backup.check(lambda _name, _size: None)
        with pytest.raises(BackupDamaged, match="of another manifest"):
            check_signature(backup, given=[vkey], keys={})
    of_another_form: list[object] = [[], {}, {"format": 1}, {**manifest, "members": {"a": {"size": 1, "sha256": 5}}}]
    for strange in of_another_form:
        with pytest.raises(BackupDamaged, match="no complete backup"):
            Backup(made.changed({MANIFEST: canonical_bytes(strange)}))
    with zipfile.ZipFile(tmp_path / "packed.backup", "w", zipfile.ZIP_DEFLATED) as packed:
        packed.writestr("checkpoints/a", bytes(range(256)) * 99)
        packed.writestr(MANIFEST, Backup(made.path).manifest_bytes)
    damaged = bytearray((tmp_path / "packed.backup").read_bytes())
    damaged[45:60] = b"\xff" * 15  # in the compressed member
    (tmp_path / "packed.backup").write_bytes(damaged)
    with Backup(tmp_path / "packed.backup") as backup:
        backup.members["checkpoints/a"] = {"size": 256 * 99, "sha256": ""}
        with pytest.raises(BackupDamaged, match="cannot be read"):
            backup.read("checkpoints/a")
        backup.members["checkpoints/a"]["size"] = 1 << 40
        with pytest.raises(BackupDamaged, match="too large"):
            backup.read("checkpoints/a")
    cut = tmp_path / "cut.backup"
    cut.write_bytes(made.path.read_bytes()[:-100])
    with pytest.raises(BackupDamaged):
        Backup(cut)


def test_other_rows_under_a_changed_manifest_open_no_keys_and_have_no_signature(tmp_path: Path) -> None:
    made = Made(tmp_path)
    with zipfile.ZipFile(made.path) as archive:
        sealed = archive.read(KEYS)
    stranger = SigningKey(NAME, Ed25519PrivateKey.generate())
    made.write(b"rows of a stranger", stranger)
    vkey = made.signing.verifier_key(NAME)
    with Backup(made.path) as backup:
        with pytest.raises(BackupDamaged, match="NOT VERIFIED: no key that is known here"):
            check_signature(backup, given=[vkey], keys={}, although_unverified=True)
        with pytest.raises(BackupDamaged, match="NOT VERIFIED"):
            check_signature(backup, given=[], keys=opened_keys(backup, made.recovery))
        manifest = json.loads(backup.manifest_bytes)
    manifest["members"][KEYS] = {"size": len(sealed), "sha256": sha256_hex(sealed)}
    with Backup(made.changed({KEYS: sealed, MANIFEST: canonical_bytes(manifest)})) as backup:
        backup.check(lambda _name, _size: None)
        with pytest.raises(RecoveryKeyProblem, match="cannot be decrypted"):
            opened_keys(backup, made.recovery)


def test_a_backup_without_a_verified_signature_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = Made(tmp_path)
    monkeypatch.setenv("THREADA_SEALING_KEY_FILE", str(tmp_path / "no_sealing_key"))
    own = {SEALING_KEY: str(made.signing)}
    with Backup(made.path) as backup:
        for keys in ({}, own):
            with pytest.raises(BackupDamaged, match="NOT VERIFIED"):
                check_signature(backup, given=[], keys=keys)
            assert check_signature(backup, given=[], keys=keys, although_unverified=True).startswith("NOT VERIFIED")
        said = check_signature(backup, given=[], keys=own, although_unverified=True)
        assert f"the signature is by {made.signing.verifier_key(NAME)}. That key comes from the backup itself" in said
    with zipfile.ZipFile(made.path) as old, zipfile.ZipFile(tmp_path / "unsigned.backup", "w") as new:
        for name in set(old.namelist()) - {NOTE}:
            new.writestr(name, old.read(name))
    with Backup(tmp_path / "unsigned.backup") as backup:
        for keys in ({}, {SEALING_KEY: str(made.signing)}):
            with pytest.raises(BackupDamaged, match="is not signed"):
                check_signature(backup, given=[], keys=keys)
        assert "not signed" in check_signature(backup, given=[], keys={}, although_unverified=True)


def test_a_sealing_key_that_this_machine_had_is_trusted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = Made(tmp_path)
    file = KeyFile(tmp_path / "held" / "sealing_key")
    monkeypatch.setenv("THREADA_SEALING_KEY_FILE", str(file.path))
    file.path.parent.mkdir(mode=0o700)
    file.replace([made.signing])
    signed = f"Signed with {made.signing.verifier_key(NAME)}."
    with Backup(made.path) as backup:
        assert check_signature(backup, given=[], keys={}) == signed
        _, new = file.begin_rotation()
        file.finish_rotation()
        assert [str(key) for key in file.keys()] == [str(new)]  # noqa: SIM118
        assert check_signature(backup, given=[], keys={}) == signed
        write_key(SEALING_KEY, str(SigningKey.new("another")))
        assert check_signature(backup, given=[], keys={}) == signed
        with pytest.raises(BackupDamaged, match="NOT VERIFIED"):
            check_signature(backup, given=[SigningKey.new(NAME).verifier_key(NAME)], keys={})
    assert file.path.with_name("sealing_key.held").stat().st_mode & 0o777 == 0o600


def test_a_stored_file_is_not_written_through_a_link(tmp_path: Path) -> None:
    folder, outside = tmp_path / "attachments", tmp_path / "outside"
    for made in (folder, outside):
        made.mkdir()
    (folder / "ab").symlink_to(outside)  # by a process that stores files
    with pytest.raises(BackupDamaged, match="leads out of"):
        write_stored_file(folder, PurePosixPath("ab/file"), [b"x"])
    write_stored_file(folder, PurePosixPath("cd/file"), [b"x"])
    assert (list(outside.iterdir()), (folder / "cd" / "file").read_bytes()) == ([], b"x")


def test_keys_are_written_under_known_names_only() -> None:
    assert known_keys(SECRET) == SECRET
    with pytest.raises(BackupDamaged, match="unknown names"):
        known_keys({**SECRET, "../../etc/cron.d/stranger": "x"})


def test_a_backup_of_newer_code_is_refused(tmp_path: Path) -> None:
    made = Made(tmp_path)
    made.write(b"", made.signing, schema={"workitems": "9999_later"}, version="9.9")
    with Backup(made.path) as backup, pytest.raises(BackupDamaged, match=r"Threada 9\.9.*workitems\.9999_later"):
        check_version(backup)


@pytest.mark.django_db(transaction=True)
def test_scheduled_backups_are_made_when_due_and_the_newest_are_kept(
    tmp_path: Path, settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    settings.THREADA_BACKUP_DIR = tmp_path
    settings.THREADA_BACKUP_KEEP = 2
    old = [tmp_path / f"threada-2026010{day}T000000Z.backup" for day in (1, 2)]
    others = [tmp_path / "by-hand.backup", tmp_path / "threada-1.backup"]
    for path in (*old, *others, tmp_path / ".threada-20260103T000000Z.backup.1"):
        path.touch()
    settings.DATABASE_URL = database_url()
    with pytest.raises(SystemExit):
        call_command("backup", "--scheduled")
    assert set(old) <= set(tmp_path.iterdir())  # nothing is removed for a backup that failed
    settings.DATABASE_URL = ""

    ahead = tmp_path / "threada-29990101T000000Z.backup"
    impossible = [tmp_path / f"threada-{time}Z.backup" for time in ("20261399T250000", "00000000T000000")]
    for path in (ahead, *impossible):
        path.touch()
    call_command("backup", "--scheduled")
    warned = capsys.readouterr().err
    assert all(f"{path} is dated in the future or at an impossible time" in warned for path in (ahead, *impossible))
    found = set(tmp_path.glob("*.backup"))
    others += [ahead, *impossible]
    [new] = found - {*old, *others}
    assert found == {old[1], new, *others}
    assert list(tmp_path.glob(".threada*")) == []
    assert (backup_age_seconds() or 0) < 60
    assert [metric.name for metric in backup_metrics()] == ["threada_backup_age_seconds"]
    assert LastBackup.objects.get().name == new.name

    call_command("backup", "--scheduled")
    assert "No backup is due" in capsys.readouterr().out
    assert set(tmp_path.glob("*.backup")) == found
    with due_backup(tmp_path, every=timedelta(0), keep=9), pytest.raises(ScheduleProblem, match="Another process"):
        due_backup(tmp_path, every=timedelta(0), keep=9).__enter__()
