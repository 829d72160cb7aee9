"""Workers of one instance use one broker and one prefix; a worker with other settings is refused."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from celery import Celery
from django.conf import settings as product
from django.db import connection
from pytest_django import Settings

from tests.broker import PASSWORD, Broker, require_broker, shared_broker
from tests.journeys.worker import database_url
from threada_site.jobs.engines.celery import broker_check, outbox
from threada_site.jobs.engines.celery.app import celery_app
from threada_site.jobs.engines.celery.broker_check import BROKER, OtherBrokerError, register_worker, uses_other_broker
from threada_site.jobs.engines.celery.relay import ConfirmingPublisher
from threada_site.jobs.pools import all_pools
from threada_site.tenancy.instance_models import Instance

pytestmark = [pytest.mark.adversarial, pytest.mark.timeout(300), pytest.mark.django_db(transaction=True)]
POOLS = all_pools(2)


@dataclass(frozen=True)
class Machine:
    """A machine with these two settings."""

    settings: Settings
    url: str
    prefix: str = "threada-meeting"

    def app(self) -> Celery:
        self.settings.THREADA_ENGINE = "celery"
        self.settings.THREADA_BROKER_URL, self.settings.THREADA_BROKER_PREFIX = self.url, self.prefix
        return celery_app(POOLS)

    def joins(self, name: str) -> str | None:
        return register_worker(self.app(), name=name, is_asked_to_stop=lambda: False)


@pytest.fixture
def machine(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Machine:
    monkeypatch.setattr(broker_check, "PATIENCE_S", 0.5)
    monkeypatch.setattr(broker_check, "_PAUSE_S", 0.1)
    return Machine(settings, shared_broker().url)


@pytest.fixture(scope="module")
def other_broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    require_broker()
    broker = Broker(tmp_path_factory.mktemp("other-broker"))
    broker.start()
    try:
        yield broker
    finally:
        broker.stop()


def expire_all_heartbeats() -> None:
    with connection.cursor() as cursor:
        cursor.execute("UPDATE tenancy_worker SET beat_at = beat_at - interval '16 seconds'")


def test_same_broker_under_another_host_name_is_accepted(machine: Machine) -> None:
    marker = machine.joins("a")
    assert marker is not None
    assert len(marker) == 16
    assert replace(machine, url=machine.url.replace("127.0.0.1", "localhost")).joins("b") == marker
    assert Instance.objects.get().facts == {BROKER: f"is:{marker}"}
    assert outbox.living_workers() == 2


def test_worker_on_another_broker_or_prefix_is_refused(machine: Machine, other_broker: Broker) -> None:
    marker = machine.joins("a")
    for stranger in (replace(machine, prefix="threada-elsewhere"), replace(machine, url=other_broker.url)):
        with pytest.raises(OtherBrokerError, match="THREADA_BROKER_URL and THREADA_BROKER_PREFIX lead to") as refused:
            stranger.joins("b")
        assert PASSWORD not in str(refused.value)
        assert uses_other_broker(stranger.app())
    assert Instance.objects.get().facts == {BROKER: f"is:{marker}"}
    assert outbox.living_workers() == 1
    assert not uses_other_broker(machine.app())
    assert machine.joins("b") == marker


def test_first_worker_decides_again_once_all_others_are_dead(machine: Machine, other_broker: Broker) -> None:
    moved = replace(machine, url=other_broker.url)
    first = machine.joins("a")
    expire_all_heartbeats()
    assert not uses_other_broker(moved.app())
    second = moved.joins("b")
    assert second not in (None, first)
    assert moved.joins("c") == second
    with pytest.raises(OtherBrokerError):
        machine.joins("a")  # the old marker still exists but is no longer valid
    expire_all_heartbeats()
    assert machine.joins("a") not in (None, first, second)


def test_worker_waits_until_the_leases_of_dead_workers_expire(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(broker_check, "PATIENCE_S", 30.0)
    first = machine.joins("a")
    death = threading.Timer(1.0, lambda: (expire_all_heartbeats(), connection.close()))
    death.start()
    began = time.monotonic()
    assert replace(machine, prefix="threada-elsewhere").joins("b") not in (None, first)
    assert 1.0 <= time.monotonic() - began < 10.0
    death.join()


def test_marker_is_declared_again_on_a_broker_that_lost_it(machine: Machine) -> None:
    marker = machine.joins("a")
    assert marker is not None
    app = machine.app()
    with app.connection_for_write() as broker:
        broker.channel().exchange_delete(f"{machine.prefix}.instance.{marker}")
    assert uses_other_broker(app)
    post = ConfirmingPublisher(app, marker=marker)
    post.send([])
    post.close()
    assert not uses_other_broker(app)
    assert machine.joins("b") == marker


def test_one_of_two_first_workers_decides(machine: Machine, other_broker: Broker) -> None:
    for _ in range(5):
        Instance.objects.all().delete()
        expire_all_heartbeats()
        apps = [machine.app(), replace(machine, url=other_broker.url).app()]
        barrier, outcomes = threading.Barrier(2), list[str | None]()

        def start(app: Celery, barrier: threading.Barrier = barrier, outcomes: list[str | None] = outcomes) -> None:
            barrier.wait()
            try:
                outcomes.append(register_worker(app, name=str(id(app)), is_asked_to_stop=lambda: False))
            except OtherBrokerError:
                outcomes.append("refused")
            finally:
                connection.close()

        threads = [threading.Thread(target=start, args=[app]) for app in apps]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        (marker,) = [outcome for outcome in outcomes if outcome != "refused"]
        assert outcomes.count("refused") == 1
        assert Instance.objects.get().facts == {BROKER: f"is:{marker}"}


def test_worker_waits_for_its_broker_and_stops_when_asked(machine: Machine, other_broker: Broker) -> None:
    other_broker.kill()
    away = replace(machine, url=other_broker.url)
    asked = threading.Event()
    threading.Timer(1.0, asked.set).start()
    assert register_worker(away.app(), name="a", is_asked_to_stop=asked.is_set) is None
    assert outbox.living_workers() == 0
    threading.Timer(1.0, other_broker.start).start()
    assert away.joins("a") is not None


@pytest.mark.parametrize("words", [["worker"], ["instance", "check"]])
def test_commands_report_a_wrong_broker(machine: Machine, words: list[str]) -> None:
    machine.joins("a")
    keep_alive = threading.Event()

    def beat() -> None:
        while not keep_alive.wait(2.0):
            outbox.beat("a", pools={}, running=[])
        connection.close()

    heart = threading.Thread(target=beat)
    heart.start()
    try:
        done = subprocess.run(
            [sys.executable, "manage.py", *words],
            check=False,
            cwd=Path(product.THREADA_BASE_DIR),
            env={
                **os.environ,
                "DATABASE_URL": database_url(),
                "THREADA_ENGINE": "celery",
                "THREADA_BROKER_URL": machine.url,
                "THREADA_BROKER_PREFIX": "threada-elsewhere",
            },
            capture_output=True,
            text=True,
            timeout=120,
        )
    finally:
        keep_alive.set()
        heart.join()
    assert done.returncode == 1
    assert "THREADA_BROKER_URL and THREADA_BROKER_PREFIX lead to a place where the other workers" in done.stderr
    assert PASSWORD not in done.stdout + done.stderr
    assert "Traceback" not in done.stderr
