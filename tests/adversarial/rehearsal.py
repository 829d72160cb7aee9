"""An instance on six hosts: a database, two web hosts, two with worker and sealer, and one outside with clients and
receiver.

With Celery (THREADA_ENGINE), RabbitMQ has its own host.
"""

from __future__ import annotations

import os
import re
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import psycopg

from telemetry.log.key_file import KeyFile
from telemetry.receipts.keyring import ReceiptKeyring
from tests.adversarial.banks import bank_documents
from tests.adversarial.machines import PORT, TENANT, Machine, Site
from tests.adversarial.network import SUBNET, Network
from tests.adversarial.server import REPOSITORY
from tests.adversarial.waiting import until
from tests.broker import Broker, require_broker
from tests.receivers.fixtures import Receiver
from threada_site.postgres.binaries import locate
from threada_site.tenancy.instance_membership import KEYS

OWN: Final = ("DATABASE_URL", "THREADA_PLATFORM_DATABASE_URL", "THREADA_PROCESS", "THREADA_DATA_DIR")


@contextmanager
def running_site(folder: Path) -> Iterator[Site]:
    network = Network()
    machines: list[Machine] = []
    database: subprocess.Popen[bytes] | None = None
    receiver: Receiver | None = None
    broker: Broker | None = None
    # Not in pytest's folder: every other run of pytest makes it inaccessible to other accounts.
    home = Path(tempfile.mkdtemp(prefix="threada-postgres-"))
    try:
        addresses = {
            name: network.add(name, number)
            for name, number in {"db": 2, "edge": 5, "web1": 11, "web2": 12, "work1": 21, "work2": 22}.items()
        }
        engine: dict[str, str] = {}
        if os.environ.get("THREADA_ENGINE") == "celery":
            broker = _broker(network, folder / "broker")
            engine = broker.environment()
        database, superuser_url = _database(network, home, addresses["db"])
        with network.inside("edge"):
            receiver = Receiver(folder, host=addresses["edge"])
            urls = _logins(network, folder, addresses["db"], superuser_url)
            shared = {name: value for name, value in os.environ.items() if name not in OWN}
            shared |= {key: secrets.token_urlsafe(48) for key in KEYS}
            receipts = ReceiptKeyring.throw_away()
            shared["THREADA_RECEIPT_PUBLIC_KEYS"] = " ".join(map(str, receipts.public()))
            shared |= {
                "THREADA_ALLOWED_HOSTS": " ".join(addresses.values()),
                "THREADA_EGRESS_ALLOW": f"{SUBNET}.0/24",
                "THREADA_LOG_LEVEL": "WARNING",
                "THREADA_LOG_FORMAT": "json",
                "THREADA_DRAIN_SECONDS": "3",
                "THREADA_LOG_NAME": "rehearsal.example",
                **engine,
            }

            def machine(name: str, url: str) -> Machine:
                roles = ("web",) if url == "DATABASE_URL" else ("worker", "command")
                own = {
                    "THREADA_DATA_DIR": str(folder / name),
                    url: urls[url],
                    "THREADA_RECEIPT_KEY": " ".join(str(receipts.private(role)) for role in roles),
                }
                made = Machine(network, name, addresses[name], shared | own, folder / f"{name}.log")
                (folder / name).mkdir()
                machines.append(made)
                return made

            work1, work2 = (machine(name, "THREADA_PLATFORM_DATABASE_URL") for name in ("work1", "work2"))
            web1, web2 = (machine(name, "DATABASE_URL") for name in ("web1", "web2"))
            _same_sealing_key(folder / "work1", folder / "work2")
            token, people = _founded(work1, folder, receiver)
            for serving in (web1, web2):
                serving.keep("web", "--host", serving.address, "--port", str(PORT), "--processes", "1")
            for working in (work1, work2):
                working.keep("worker", "--concurrency", "4")
                working.keep("sealer", "--interval", "0.5")
            site = Site(
                network,
                (web1, web2),
                (work1, work2),
                receiver,
                f"{superuser_url.removesuffix('postgres')}threada",
                token,
                people,
            )
            for serving in (web1, web2):
                until(serving.is_ready)
            yield site
    finally:
        for each in machines:
            each.end()
        if receiver is not None:
            receiver.stop()
        if broker is not None:
            broker.stop()
        if database is not None:
            database.send_signal(signal.SIGQUIT)
            database.wait(30)
        shutil.rmtree(home, ignore_errors=True)
        network.close()


def _database(network: Network, folder: Path, address: str) -> tuple[subprocess.Popen[bytes], str]:
    """Run a PostgreSQL that listens on the network and requires passwords, under an unprivileged account."""
    programs = locate().install / "bin"
    folder.chmod(0o777)
    password = secrets.token_urlsafe(16)
    given = folder / "password"
    given.write_text(password)
    given.chmod(0o644)
    account: dict[str, Any] = {"user": "nobody", "group": "nogroup", "extra_groups": [], "cwd": "/"}
    environment = {"LANG": "C", "PATH": os.environ["PATH"]}
    data = folder / "data"
    subprocess.run(
        [
            programs / "initdb", "-D", data, "-U", "postgres", "-A", "scram-sha-256", f"--pwfile={given}", "-N",
            "--locale-provider=builtin", "--locale=C.UTF-8", "--encoding=UTF8",
        ],
        check=True, capture_output=True, env=environment, **account,
    )  # fmt: skip
    with (data / "pg_hba.conf").open("a") as file:
        file.write(f"host all all {SUBNET}.0/24 scram-sha-256\n")
    settings = (f"listen_addresses={address}", f"unix_socket_directories={folder}", "max_connections=150", "fsync=off")
    command = [programs / "postgres", "-D", data, *(word for setting in settings for word in ("-c", setting))]
    with (folder / "log").open("wb") as log:
        process = network.start("db", command, env=environment, stdout=subprocess.DEVNULL, stderr=log, **account)
    url = f"postgresql://postgres:{password}@{address}/postgres"
    with network.inside("edge"):
        until(lambda: _answers(url), seconds=60)
    return process, url


def _broker(network: Network, folder: Path) -> Broker:
    """Run RabbitMQ on its own host."""
    require_broker()
    folder.mkdir()
    broker = Broker(folder, address=network.add("broker", 3))
    with network.inside("broker"):
        broker.start()
    return broker


def _answers(url: str) -> bool:
    try:
        psycopg.connect(url, connect_timeout=2).close()
    except psycopg.OperationalError:
        return False
    return True


def _logins(network: Network, folder: Path, address: str, superuser_url: str) -> dict[str, str]:
    """Create both logins as documented."""
    environment = {name: value for name, value in os.environ.items() if name not in OWN}
    environment["THREADA_DATA_DIR"] = str(folder / "admin")
    printed = subprocess.run(
        [sys.executable, "manage.py", "database_logins", "--host", address],
        cwd=REPOSITORY, env=environment, check=True, capture_output=True, text=True,
    )  # fmt: skip
    psql = network.start(
        "edge", [locate().install / "bin" / "psql", "-X", "-q", superuser_url],
        stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    _, err = psql.communicate(printed.stdout, timeout=60)
    assert psql.returncode == 0, err
    return dict(re.findall(r"^(\w+)=(postgresql://.*)$", printed.stderr, re.MULTILINE))


def _same_sealing_key(*data_dirs: Path) -> None:
    first = data_dirs[0] / "keys" / "sealing_key"
    KeyFile(first).create("rehearsal.example")
    for other in data_dirs[1:]:
        copy = other / "keys" / "sealing_key"
        copy.parent.mkdir(mode=0o700)
        copy.touch(mode=0o600)
        copy.write_text(first.read_text())


def _founded(machine: Machine, folder: Path, receiver: Receiver) -> tuple[str, dict[str, str]]:
    """Create the schema, a tenant with the demo's documents and two banks, a client, and two members of finance."""
    machine.manage("migrate", "-v", "0")
    machine.manage("create_tenant", TENANT, "--steward", "steward")
    documents = folder / "documents"
    documents.mkdir()
    for document in (REPOSITORY / "threada_site" / "runtime" / "demo").glob("*.yaml"):
        (documents / document.name).write_text(document.read_text())
    _, *payments = (REPOSITORY / "workitems" / "gallery" / "packs" / "payments.yaml").read_text().split("\n---\n")
    real = [document for document in payments if not re.search("kind: (Integration|Role)", document)]
    (documents / "8-payments.yaml").write_text("\n---\n".join(real))
    (documents / "9-banks.yaml").write_text(bank_documents(receiver.url))
    machine.manage("apply", str(documents), "--tenant", TENANT)
    token = _credential(
        machine, "client", "service", ["tenant_admin"],
        "workitems:read workitems:write workflow:manage actions:execute telemetry:read",
    )  # fmt: skip
    people = {
        name: _credential(machine, name, "human", ["approver", "finance"], "workitems:read decisions:decide")
        for name in ("finance-1", "finance-2")
    }
    return token, people


def _credential(machine: Machine, name: str, kind: str, roles: list[str], scopes: str) -> str:
    words = [word for role in roles for word in ("--role", role)]
    words += [] if kind == "human" else ["--owner", "steward"]
    return machine.manage(
        "create_credential", "--tenant", TENANT, "--principal", name, "--kind", kind, *words, "--scopes", scopes
    ).strip()
