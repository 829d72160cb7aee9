"""Encrypted secrets: written by tenants, read by calls to the right host, re-encrypted under load."""

from __future__ import annotations

import base64
import io
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography.fernet import Fernet
from django.core.management import call_command
from django.db import connections

from integrations.attempts.failures import FailureClass, TransportFailure
from integrations.configuration.secrets import upsert_secret
from integrations.models import StoredSecret
from integrations.secrets import vault
from integrations.secrets.vault import reveal
from telemetry.models import Receipt
from tests.client import Api
from tests.factories import acting_system, make_principal, make_tenant, make_token
from threada_site.api.models import IdempotencyRecord
from threada_site.database.unit_of_work import unit_of_work
from threada_site.kernel.json.canonical import canonical_sha256
from threada_site.kernel.keyring import Keyring, KeyringProblem, Undecryptable, file_source, keys_in
from threada_site.tenancy.models import Tenant

CANARY = "canary-7f3a-value"
BODY = {"secret_id": "bank_token", "value": CANARY, "origins": ["https://Bank.Example", "https://127.0.0.1:8443/v1"]}
KEPT = ["https://127.0.0.1:8443/v1", "https://bank.example"]
OLD, NEW = "o" * 48, "n" * 48


@pytest.fixture(autouse=True)
def key_file(tmp_path: Path, settings: Any) -> Path:
    path = tmp_path / "secrets_key"
    path.write_text(f"{OLD}\n")
    settings.THREADA_SECRETS_KEY = ""
    settings.THREADA_SECRETS_KEY_FILE = str(path)
    return path


@pytest.fixture
def acme(db: None) -> Tenant:
    return make_tenant()


@pytest.fixture
def api(acme: Tenant) -> Api:
    return Api(make_token(acme, make_principal(acme, "ivy", roles=("integration_manager",))))


def rows(tenant: Tenant) -> list[StoredSecret]:
    with unit_of_work(tenant.id):
        return list(StoredSecret.objects.order_by("slug"))


def store(
    tenant: Tenant, name: str = "bank_token", value: str = CANARY, origins: tuple[str, ...] = ("https://bank.example",)
) -> None:
    with unit_of_work(tenant.id):
        upsert_secret(name, value, origins=origins, ctx=acting_system(tenant))


def refused(
    name: str,
    tenant: Tenant,
    sent_to: str = "https://bank.example/pay",
    failure: FailureClass = FailureClass.CREDENTIAL_UNAVAILABLE,
) -> str:
    with pytest.raises(TransportFailure) as refusal:
        reveal(name, tenant_id=tenant.id, sent_to=sent_to)
    assert refusal.value.failure is failure
    assert CANARY not in str(refusal.value)
    return refusal.value.detail


class TestApi:
    def test_it_is_written_and_never_shown(self, api: Api, acme: Tenant) -> None:
        first = api.post("/secrets", BODY, headers={"Idempotency-Key": "k1"})
        assert (first.status_code, first.headers["Location"]) == (201, "/secrets/bank_token")
        shown = first.json()
        assert (shown["secret_id"], shown["number"]) == ("bank_token", 1)
        assert shown["origins"] == KEPT
        assert set(shown) == {"secret_id", "origins", "number", "created_at", "changed_at"}
        assert api.post("/secrets", BODY, headers={"Idempotency-Key": "k1"}).json() == shown
        second = api.post("/secrets", {**BODY, "value": "other"})
        assert (second.status_code, second.json()["number"]) == (200, 2)
        answers = [first, second, api.get("/secrets"), api.get("/secrets/bank_token")]
        assert all(CANARY.encode() not in answer.content for answer in answers)
        (row,) = rows(acme)
        assert reveal("bank_token", tenant_id=acme.id, sent_to="https://bank.example/pay").reveal() == "other"
        assert CANARY.encode() not in bytes(row.token)
        with unit_of_work(acme.id):
            kinds = list(Receipt.objects.order_by("id").values_list("kind", flat=True))
            bodies = b"".join(bytes(body) for body in Receipt.objects.values_list("body", flat=True))
            (digest,) = IdempotencyRecord.objects.values_list("body_sha256", flat=True)
        assert kinds[-2:] == ["secret.stored", "secret.changed"]
        assert CANARY.encode() not in bodies
        assert digest != canonical_sha256(BODY)

    def test_a_key_in_pem_keeps_its_lines(self, api: Api, acme: Tenant) -> None:
        value = "-----BEGIN PRIVATE KEY-----\nYWJj\n-----END PRIVATE KEY-----\n"
        assert api.post("/secrets", {**BODY, "value": value}).status_code == 201
        assert reveal("bank_token", tenant_id=acme.id, sent_to="https://bank.example/pay").reveal() == value

    @pytest.mark.parametrize(
        ("changes", "pointer"),
        [
            ({"value": f"{CANARY}\nX: 1"}, "/value"),
            ({"value": f"-----BEGIN PRIVATE KEY-----\n{CANARY}\x7f"}, "/value"),
            ({"value": ""}, "/value"),
            ({"value": 7}, "/value"),
            ({"value": [CANARY]}, "/value"),
            ({"value": CANARY * 5000}, "/value"),
            ({"secret_id": f"{CANARY} "}, "/secret_id"),
            ({"origins": ["https://bank.example"] * 11}, "/origins"),
            ({"origins": ["bank.example:443"]}, "/origins/0"),
            ({"origins": ["http://bank.example"]}, "/origins/0"),
            ({"origins": ["https://127.1"]}, "/origins/0"),
            ({"origins": ["https://bank.example/../x"]}, "/origins/0"),
            ({"secret_id": "Bank Token"}, "/secret_id"),
        ],
    )
    def test_a_refusal_repeats_no_value(self, api: Api, acme: Tenant, changes: dict[str, Any], pointer: str) -> None:
        answer = api.post("/secrets", {**BODY, **changes})
        assert (answer.status_code, answer.json()["reason_code"]) == (422, "invalid_request")
        assert [error["pointer"] for error in answer.json()["errors"]] == [pointer]
        assert CANARY.encode() not in answer.content
        assert rows(acme) == []

    def test_secrets_require_the_scope(self, acme: Tenant, api: Api) -> None:
        api.post("/secrets", BODY)
        reader = Api(make_token(acme, make_principal(acme, "ann", roles=("operator",))))
        for answer in (reader.get("/secrets"), reader.get("/secrets/bank_token"), reader.post("/secrets", BODY)):
            assert (answer.status_code, answer.json()["reason_code"]) == (403, "scope_missing")
        assert rows(acme)[0].number == 1
        of_another_tenant = make_tenant("other")
        stranger = Api(
            make_token(of_another_tenant, make_principal(of_another_tenant, "eve", roles=("integration_manager",)))
        )
        assert stranger.get("/secrets").json()["data"] == []
        assert stranger.get("/secrets/bank_token").status_code == 404
        assert stranger.post("/secrets/bank_token/remove", {}).status_code == 404

    def test_document_may_reference_secrets_for_its_host(self, api: Api) -> None:
        api.post("/secrets", BODY)

        def put(base_url: str, secret: str) -> Any:
            spec = {
                "connector": "http",
                "base_url": base_url,
                "auth": {"scheme": "bearer", "secret": {"stored": secret}},
                "actions": {"pay": {"method": "POST", "path": "/pay"}},
            }
            return api.post("/integrations", {"integration_id": "int_bank", "spec": spec})

        missing, elsewhere = put("https://bank.example", "nothing"), put("https://thief.example", "bank_token")
        assert [answer.json()["errors"][0]["detail"] for answer in (missing, elsewhere)] == [
            "there is no secret nothing",
            f"The secret stored:bank_token is for {', '.join(KEPT)}, not for https://thief.example.",
        ]
        assert put("https://bank.example", "bank_token").status_code == 201
        in_use = api.post("/secrets/bank_token/remove", {})
        assert (in_use.status_code, in_use.json()["reason_code"]) == (409, "in_use")
        assert "int_bank" in in_use.json()["detail"]
        spec = {
            "connector": "http",
            "base_url": "https://bank.example",
            "actions": {"pay": {"method": "GET", "path": "/"}},
        }
        api.post("/integrations", {"integration_id": "int_bank", "spec": spec})
        assert api.post("/secrets/bank_token/remove", {}).status_code == 204
        assert api.get("/secrets/bank_token").status_code == 404


class TestReveal:
    def test_only_its_own_origins(self, acme: Tenant) -> None:
        store(acme)
        secret = reveal("bank_token", tenant_id=acme.id, sent_to="https://bank.example/pay")
        assert secret.reveal() == CANARY
        assert CANARY not in f"{secret} {secret!r}"
        assert refused("bank_token", acme, "https://thief.example/x", FailureClass.SECRET_ORIGIN_REFUSED) == (
            "The secret stored:bank_token is not for https://thief.example."
        )
        assert refused("nothing", acme) == "The secret stored:nothing does not exist."

    def test_a_row_copied_to_another_place_opens_nothing(self, acme: Tenant) -> None:
        store(acme)
        store(acme, "other", "mine")
        eve = make_tenant("eve")
        store(eve, "bank_token", "hers")
        (stolen, _) = rows(acme)
        with unit_of_work(acme.id):
            StoredSecret.objects.filter(slug="other").update(token=stolen.token)
        with unit_of_work(eve.id):
            StoredSecret.objects.update(token=stolen.token)
        assert refused("other", acme) == "The secret stored:other was written for another place."
        assert refused("bank_token", eve) == "The secret stored:bank_token was written for another place."

    def test_without_the_key_there_is_no_secret(self, acme: Tenant, key_file: Path) -> None:
        store(acme)
        key_file.write_text(f"{NEW}\n")
        assert refused("bank_token", acme) == (
            "The secret stored:bank_token cannot be decrypted with the instance's keys."
        )
        key_file.unlink()
        assert "cannot be decrypted" in refused("bank_token", acme)


class TestKeyring:
    def test_the_first_encrypts_and_all_decrypt(self, tmp_path: Path) -> None:
        path = tmp_path / "keys"
        path.write_text(OLD)
        ring = Keyring(file_source(path))
        before = ring.encrypt(b"one")
        path.write_text(f"{NEW}\n{OLD}\n")
        after = ring.encrypt(b"two")
        assert (ring.decrypt(before.token), ring.decrypt(after.token)) == (b"one", b"two")
        assert [after.key_id, before.key_id] == ring.key_ids
        path.write_text(f"{NEW}\n")
        assert ring.decrypt(after.token) == b"two"
        with pytest.raises(Undecryptable):
            ring.decrypt(before.token)

    def test_fernet_key_is_used_unchanged(self) -> None:
        key = Fernet.generate_key()
        encrypted = Keyring(lambda: (1, [key.decode()])).encrypt(b"x")
        assert Fernet(key).decrypt(encrypted.token) == b"x"
        assert key.decode() not in encrypted.key_id

    @pytest.mark.parametrize("keys", [[], ["short"], [OLD, "short"], [base64.urlsafe_b64encode(b"x" * 16).decode()]])
    def test_no_usable_key(self, keys: list[str]) -> None:
        with pytest.raises(KeyringProblem):
            Keyring(lambda: (1, keys)).encrypt(b"x")

    def test_keys_are_separated_by_white_space(self) -> None:
        assert keys_in(f" {NEW}\n{OLD}\t{NEW}\n") == [NEW, OLD]


def command(*options: str) -> str:
    said = io.StringIO()
    call_command("rotate_secrets", *options, stdout=said, stderr=said)
    return said.getvalue()


class TestRotation:
    def test_a_new_key_takes_over(self, acme: Tenant, key_file: Path) -> None:
        other = make_tenant("other")
        for number in range(3):
            store(acme, f"s{number}", f"value {number}")
        store(other, "theirs", "value 9")
        (old_id,) = vault.keyring().key_ids
        assert command("--new-key").startswith("4 re-encrypted with key ")
        assert len(keys_in(key_file.read_text())) == 2
        assert key_file.stat().st_mode & 0o777 == 0o600
        new_id = vault.keyring().key_ids[0]
        assert {row.key_id for row in (*rows(acme), *rows(other))} == {new_id}
        assert new_id != old_id
        assert command("--finish").endswith("All keys but the first were removed.\n")
        assert vault.keyring().key_ids == [new_id]
        assert reveal("s1", tenant_id=acme.id, sent_to="https://bank.example/pay").reveal() == "value 1"
        assert reveal("theirs", tenant_id=other.id, sent_to="https://bank.example/pay").reveal() == "value 9"
        assert command() == f"0 re-encrypted with key {new_id}.\n"

    def test_a_key_that_still_encrypts_something_is_not_dropped(self, acme: Tenant, key_file: Path) -> None:
        store(acme)
        key_file.write_text(f"{NEW}\n")
        with pytest.raises(SystemExit) as refusal:
            command("--finish")
        assert refusal.value.code == 1
        assert keys_in(key_file.read_text()) == [NEW]
        key_file.write_text(f"{NEW}\n{OLD}\n")
        command("--finish")
        assert keys_in(key_file.read_text()) == [NEW]
        assert reveal("bank_token", tenant_id=acme.id, sent_to="https://bank.example/pay").reveal() == CANARY

    def test_keys_in_the_environment_are_changed_there(self, acme: Tenant, settings: Any) -> None:
        store(acme)
        settings.THREADA_SECRETS_KEY, settings.THREADA_SECRETS_KEY_FILE = f"{NEW} {OLD}", ""
        assert command().startswith("1 re-encrypted")
        with pytest.raises(SystemExit) as refusal:
            command("--new-key")
        assert refusal.value.code == 2

    def test_one_batch_at_a_time(self, acme: Tenant, key_file: Path) -> None:
        for number in range(5):
            store(acme, f"s{number}")
        key_file.write_text(f"{NEW}\n{OLD}\n")
        assert [vault.reencrypt_secrets(most=2) for _ in range(4)] == [(2, 0), (2, 0), (1, 0), (0, 0)]


class Busy:
    """Writers and readers of a tenant's secrets, each in its own thread."""

    def __init__(self, tenant: Tenant, names: list[str]) -> None:
        self.tenant = tenant
        self.written = dict.fromkeys(names, 0)
        self.problems: list[str] = []
        self.done = threading.Event()

    def run(self, operation: Callable[[int], None], part: int) -> None:
        try:
            while not self.done.is_set():
                operation(part)
        except Exception as error:  # noqa: BLE001 - asserted at the end
            self.problems.append(repr(error))
        finally:
            connections.close_all()

    def write(self, part: int) -> None:
        for name in list(self.written)[part::3]:
            self.written[name] += 1
            store(self.tenant, name, f"{name}:{self.written[name]}")

    def read(self, _part: int) -> None:
        for name in self.written:
            value = reveal(name, tenant_id=self.tenant.id, sent_to="https://bank.example/pay").reveal()
            if not value.startswith(f"{name}:"):
                self.problems.append(f"{name} reads {value}")


@pytest.mark.django_db(transaction=True)
def test_keys_change_while_values_change_and_are_read(key_file: Path) -> None:
    """Three writers and two readers during two key rotations: no read fails, no value is lost."""
    tenant = make_tenant()
    names = [f"s{number:02d}" for number in range(30)]
    for name in names:
        store(tenant, name, f"{name}:0")
    busy = Busy(tenant, names)
    workers = [threading.Thread(target=busy.run, args=(busy.write, part)) for part in range(3)]
    workers += [threading.Thread(target=busy.run, args=(busy.read, 0)) for _ in range(2)]
    for worker in workers:
        worker.start()
    try:
        for _ in range(2):
            assert "re-encrypted" in command("--new-key")
    finally:
        busy.done.set()
        for worker in workers:
            worker.join(30)
    assert busy.problems == []
    assert "All keys but the first were removed." in command("--finish")
    assert len(keys_in(key_file.read_text())) == 1
    for name in names:
        assert (
            reveal(name, tenant_id=tenant.id, sent_to="https://bank.example/pay").reveal()
            == f"{name}:{busy.written[name]}"
        )
