"""Check that this machine uses the broker, virtual host and queue prefix of the instance's other workers.

The first worker declares a marker exchange with a random name and records the name in the database. Workers that start
later look for that exchange. So machines may reach the broker under different host names, and no address is stored.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable
from typing import Any, Final

import structlog
from amqp.exceptions import NotFound
from celery import Celery
from django.db import connection, transaction

from threada_site.jobs.engines.celery import outbox
from threada_site.jobs.engines.celery.app import BROKER_AWAY, queue_name
from threada_site.tenancy.instance_record import Fact, recorded, settle

BROKER: Final = "THREADA_BROKER_URL"
PATIENCE_S: Final = outbox.LEASE_S + 5.0
"""Workers that use another broker may be dead: they count as dead once their lease has expired."""
OTHER_BROKER: Final = (
    "THREADA_BROKER_URL and THREADA_BROKER_PREFIX lead to a place where the other workers of this instance are not: "
    "jobs would wait where nobody takes them. Bring both settings of the other machines here. To move the instance to "
    "another broker, stop all workers first: the one that starts first decides"
)
_PAUSE_S: Final = 1.0

log = structlog.get_logger("threada.worker")


class OtherBrokerError(RuntimeError):
    """The other workers of this instance use another broker."""


def register_worker(app: Celery, *, name: str, is_asked_to_stop: Callable[[], bool]) -> str | None:
    """Wait for the broker, register as a worker there, and return the name of the marker. Return None when asked to
    stop.

    `name`: name of this worker until its processes have names of their own. Raise `OtherBrokerError` if the other
    workers use another broker.
    """
    is_away, missing_since = False, 0.0
    while not is_asked_to_stop():
        try:
            marker = _register(app, name)
        except BROKER_AWAY as error:
            if not is_away:
                log.warning("broker_away", error=type(error).__name__)
            is_away = True
        else:
            if marker:
                return marker
            missing_since = missing_since or time.monotonic()
            if time.monotonic() - missing_since > PATIENCE_S:
                raise OtherBrokerError(f"This machine does not join: {OTHER_BROKER}.")
        time.sleep(_PAUSE_S)
    return None


def uses_other_broker(app: Celery) -> bool:
    """Return True if the instance's marker is missing on this broker while other workers run. Raise one of
    `BROKER_AWAY`."""
    with _connected(app) as broker, transaction.atomic(), connection.cursor() as cursor:
        marker = recorded(cursor, BROKER)
        return bool(marker and not _has_marker(broker, marker) and outbox.living_workers())


def declare_marker(channel: Any, marker: str) -> None:
    """Declare the marker exchange. All nodes of a cluster know it, and it survives them. Idempotent."""
    channel.exchange_declare(queue_name(f"instance.{marker}"), "fanout", durable=True, auto_delete=False)


def _register(app: Celery, name: str) -> str:
    """Register this worker and return the marker, or "" if other workers use another broker.

    The row of the instance's facts is locked meanwhile: of two first workers, one decides.
    """
    with _connected(app) as broker, transaction.atomic(), connection.cursor() as cursor:
        marker = recorded(cursor, BROKER)
        if not marker or not _has_marker(broker, marker):
            if marker and outbox.living_workers():
                return ""
            marker = secrets.token_hex(8)
            declare_marker(broker.channel(), marker)
            settle(cursor, [Fact(BROKER, (marker,), is_key=False)], accepted=[BROKER])
        outbox.beat(name, pools={}, running=[])
    return marker


def _connected(app: Celery) -> Any:
    """Return a Kombu connection for a few requests."""
    made = app.connection_for_write(
        heartbeat=0, connect_timeout=4, transport_options={"read_timeout": 5, "write_timeout": 5}
    )
    made.connect()
    return made


def _has_marker(broker: Any, marker: str) -> bool:
    try:
        broker.channel().exchange_declare(queue_name(f"instance.{marker}"), "fanout", passive=True)
    except NotFound:
        return False
    return True
