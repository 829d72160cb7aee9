"""The sealer process. It runs without Django: it holds the signing key and little else.

`manage.py sealer` calls it directly, before Django is loaded. Imports no Django.
"""

from __future__ import annotations

import argparse
import contextlib
import signal
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import psycopg
from psycopg.conninfo import make_conninfo

from telemetry.log.anchor import Anchor
from telemetry.log.key_file import KeyFile, KeyFileProblem
from telemetry.log.store import LogStore
from telemetry.receipts.keyring import ReceiptKeyring
from telemetry.sealing.log_lines import LineLog
from telemetry.sealing.publisher_pool import PublisherPool
from telemetry.sealing.sealer import Sealer
from threada_site.database.bootstrap import EMBEDDED_DATABASE, connection_parameters, ensure_embedded_database
from threada_site.database.role_names import PLATFORM_LOGIN
from threada_site.database.stored_logins import EMBEDDED, stored_passwords
from threada_site.environment import DATA_DIR, flag, key, postgresql_url, text
from threada_site.postgres import EmbeddedPostgresError
from threada_site.runtime.sealer.checkpoint_targets import checkpoint_targets
from threada_site.runtime.sealer.key import OtherSealingKey, clock_skew, make_first_key, settle_sealing_key
from threada_site.runtime.sealer.schema import SchemaDoesNotFit, require_fitting_schema
from threada_site.tenancy.instance_record import SKEW_TOLERATED_S

INTERVAL_S: Final = 1.0
RECONNECT_AFTER_S: Final = 1.0
NAME_WITHOUT_PUBLIC_URL: Final = "threada.localhost"


def sealing_key_file() -> KeyFile:
    """Return the file of the signing key."""
    return KeyFile(Path(text("THREADA_SEALING_KEY_FILE") or DATA_DIR / "keys" / "sealing_key"))


def sealing_anchor() -> Anchor:
    """Return the record of signed checkpoints that is stored outside the database."""
    return Anchor(Path(text("THREADA_ANCHOR_DIR") or DATA_DIR / "checkpoints"))


def receipt_keyring_of_variables() -> ReceiptKeyring:
    """Return the keys of receipts that the environment names, for processes without Django."""
    return ReceiptKeyring(
        DATA_DIR / "keys",
        private=text("THREADA_RECEIPT_KEY"),
        public=text("THREADA_RECEIPT_PUBLIC_KEYS"),
        makes=False,
    )


def instance_name() -> str:
    """Return the log name of a new instance. Once it is in the key file, it never changes."""
    return text("THREADA_LOG_NAME") or urlsplit(text("THREADA_PUBLIC_URL")).hostname or NAME_WITHOUT_PUBLIC_URL


def sealer_conninfo() -> str:
    """Return where the sealer connects: with the platform's login if there is one, otherwise with that of all
    processes."""
    url = postgresql_url("THREADA_PLATFORM_DATABASE_URL") or postgresql_url("DATABASE_URL")
    if url:
        return make_conninfo(**connection_parameters(url, DATA_DIR))
    address = ensure_embedded_database(DATA_DIR)
    password = stored_passwords(DATA_DIR, EMBEDDED).get(PLATFORM_LOGIN)
    return make_conninfo(
        host=address.host, port=address.port, user=PLATFORM_LOGIN, password=password, dbname=EMBEDDED_DATABASE
    )


def keeps_instance_log() -> bool:
    """Return True if the instance log is turned on."""
    return flag("THREADA_INSTANCE_LOG")


def line_log() -> LineLog:
    """Return the sealer's logger, configured by the log settings."""
    readable = text("THREADA_LOG_FORMAT", "text" if sys.stderr.isatty() else "json") == "text"
    return LineLog(sys.stderr, level=text("THREADA_LOG_LEVEL", "INFO").upper(), readable=readable)


def make_key_of_new_instance(store: LogStore, key_file: KeyFile, anchor: Anchor) -> bool:
    """Create a key if nothing was ever signed. Return True if it was created. A lost key is never replaced silently."""
    is_new = not key_file.exists() and anchor.is_empty() and not store.was_ever_signed()
    return is_new and make_first_key(store.connection, key_file, name=instance_name())


class SealerProcess:
    """Sealer with one database connection; it reconnects when the connection is lost."""

    def __init__(self, log: LineLog) -> None:
        self._log = log
        self._stop = threading.Event()
        self._key_file = sealing_key_file()
        self._anchor = sealing_anchor()
        self._is_lost = False
        self._is_compared = False
        self._targets = checkpoint_targets()

    def stop(self, *_signal: Any) -> None:
        self._stop.set()

    def run(self, *, interval_s: float, once: bool) -> int:
        """Seal until asked to stop; with `once`, until the queue is empty. Return the exit status."""
        while not self._stop.is_set():
            try:
                with psycopg.connect(
                    sealer_conninfo(), autocommit=True, application_name="threada-sealer"
                ) as connection:
                    if self._serve(LogStore(connection), interval_s=interval_s, once=once):
                        return 0
            except OtherSealingKey as error:
                self._log("error", "sealing_key_differs", detail=str(error))
                return 1
            except SchemaDoesNotFit as error:
                self._log("error", "schema_does_not_fit", detail=str(error))
                return 1
            except (psycopg.Error, EmbeddedPostgresError) as error:
                if once:
                    self._log("error", "sealing_failed", detail=_first_line(error))
                    return 1
                if not self._is_lost:
                    self._log("error", "sealing_interrupted", detail=_first_line(error))
                    self._is_lost = True
                self._stop.wait(RECONNECT_AFTER_S)
        return 0

    def _serve(self, store: LogStore, *, interval_s: float, once: bool) -> bool:
        require_fitting_schema(store.connection)
        self._make_first_key(store)
        self._look_at_the_clock(store)
        publication = PublisherPool(self._targets, store=store, log=self._log, with_instance_log=keeps_instance_log())
        try:
            return self._rounds(store, publication, interval_s=interval_s, once=once)
        finally:
            publication.stop()

    def _rounds(self, store: LogStore, publication: PublisherPool, *, interval_s: float, once: bool) -> bool:
        sealer = Sealer(
            store,
            key_file=self._key_file,
            anchor=self._anchor,
            log=self._log,
            on_signed=publication.offer,
            with_instance_log=keeps_instance_log(),
            promise_key=self._promise_key(),
            receipt_keys=receipt_keyring_of_variables().public,
        )
        while not self._stop.is_set():
            begun = time.monotonic()
            self._compare_keys(store)
            sealed = sealer.round(seconds=interval_s, waits=once)
            publication.save_states(store)
            if self._is_lost:
                self._log("info", "sealing_resumed")
                self._is_lost = False
            if once and not sealed:
                return True
            if not once:
                self._stop.wait(max(interval_s - (time.monotonic() - begun), 0.01))
        return True

    def _promise_key(self) -> bytes | None:
        """Return the public half of the key that signs inclusion promises; None if promises are off. Log a warning and
        return None if the key cannot be read."""
        if not flag("THREADA_INCLUSION_PROMISES"):
            return None
        from telemetry.inclusion_promises.statement import inclusion_promise_public_key

        try:
            return inclusion_promise_public_key(key("promise_key"))
        except OSError as error:
            self._log("warning", "promise_key_unusable", detail=f"{error}. No promise is given without it.")
            return None

    def _make_first_key(self, store: LogStore) -> None:
        if make_key_of_new_instance(store, self._key_file, self._anchor):
            self._log("info", "sealing_key_made", path=str(self._key_file.path))

    def _compare_keys(self, store: LogStore) -> None:
        """Compare keys once, before anything is signed. Without a usable key nothing is signed, and the sealer reports
        that itself."""
        if not self._is_compared:
            with contextlib.suppress(KeyFileProblem):
                settle_sealing_key(store.connection, self._key_file)
                self._is_compared = True

    def _look_at_the_clock(self, store: LogStore) -> None:
        ahead = clock_skew(store.connection)
        if abs(ahead) > SKEW_TOLERATED_S:
            self._log("warning", "clock_differs", seconds_ahead_of_database=round(ahead, 1))


def main(arguments: Sequence[str]) -> int:
    """Run `manage.py sealer`."""
    parser = argparse.ArgumentParser(
        prog="manage.py sealer",
        description="Seal receipts about once a second and sign checkpoints. Running several is safe.",
    )
    parser.add_argument("--once", action="store_true", help="seal what is queued, sign, and exit")
    parser.add_argument("--interval", type=float, default=INTERVAL_S, help="seconds between rounds (1)")
    options = parser.parse_args(arguments)
    process = SealerProcess(line_log())
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, process.stop)
    return process.run(interval_s=options.interval, once=options.once)


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0]
