"""Checks of this machine: disk, permissions, processes, mail, broker and proxies."""

from __future__ import annotations

import os
import shutil
import smtplib
import ssl
import stat
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from django.conf import settings

from telemetry.receipts.keyring import PUBLIC_FILE
from threada_site.api.monitoring.local_metrics import disk_places
from threada_site.environment import text
from threada_site.jobs.engines.choice import CELERY, engine_problem
from threada_site.runtime.doctor.findings import Finding, failed, ok, skipped, warning
from threada_site.runtime.processes import missing_kinds, named, processes_of

_TIMEOUT_S: Final = 5.0
_LEAST_BYTES: Final = 256 * 1024 * 1024
_LOW_SHARE: Final = 0.1


def processes() -> Iterator[Finding]:
    """Check that the processes of this instance run here."""
    running = processes_of(settings.THREADA_DATA_DIR, settings.THREADA_BASE_DIR)
    missing = missing_kinds(running, is_alone=not settings.DATABASE_URL)
    if missing:
        yield failed("processes", f"not running: {', '.join(missing)}", "Start what is missing, or manage.py up.")
    else:
        yield ok("processes", named(running))


def disk() -> Iterator[Finding]:
    """Check the free space of every file system that is written to."""
    for name, place in disk_places().items():
        usage = shutil.disk_usage(place)
        said = f"{usage.free / 1e9:.1f} GB of {usage.total / 1e9:.1f} GB free in {place} ({name})"
        fix = "Free space or enlarge the disk. retention and old files in exports/ and deliveries/ take most of it."
        if usage.free < _LEAST_BYTES:
            yield failed("disk", said, fix)
        elif usage.free < usage.total * _LOW_SHARE:
            yield warning("disk", said, fix)
        else:
            yield ok("disk", said)


def permissions() -> Iterator[Finding]:
    """Check that folders can be written to, and that nobody else reads the keys."""
    folders = (settings.THREADA_DATA_DIR, settings.THREADA_EXPORT_DIR, settings.THREADA_DELIVERY_DIR)
    closed = [str(folder) for folder in folders if Path(folder).exists() and not os.access(folder, os.W_OK)]
    if closed:
        yield failed(
            "permissions",
            f"this user cannot write to {', '.join(closed)}",
            "Run as the user who runs Threada, or give the folders to this one (chown).",
        )
    keys = Path(settings.THREADA_DATA_DIR) / "keys"
    is_readable = keys.is_dir() and os.access(keys, os.R_OK)
    paths = [keys, *(path for path in keys.iterdir() if path.name != PUBLIC_FILE)] if is_readable else []
    paths = [path for path in paths if path.name != PUBLIC_FILE]
    open_to_all = [path.name for path in paths if stat.S_IMODE(path.lstat().st_mode) & stat.S_IRWXO]
    if open_to_all:
        yield failed(
            "permissions",
            f"every user of this machine can use {', '.join(sorted(open_to_all))} in {keys}",
            f"chmod o-rwx {keys} {keys}/*, then rotate these keys.",
        )
    if not closed and not open_to_all:
        yield ok("permissions", "folders can be written to, and keys are closed to others")


def mail() -> Iterator[Finding]:
    """Connect to the mail server and sign in, without sending anything."""
    mailer: dict[str, Any] | None = settings.MAILERS.get("default")
    if mailer is None:
        yield warning("mail", "no mail server is set", "Set THREADA_SMTP_URL, or people get no mail.")
        return
    options = mailer["OPTIONS"]
    place = f"{options['host']}:{options['port']}"
    try:
        context = ssl.create_default_context()
        with (
            smtplib.SMTP_SSL(options["host"], options["port"], timeout=_TIMEOUT_S, context=context)
            if options["use_ssl"]
            else smtplib.SMTP(options["host"], options["port"], timeout=_TIMEOUT_S)
        ) as server:
            if options["use_tls"]:
                server.starttls(context=context)
            if options["username"]:
                server.login(options["username"], options["password"])
            server.noop()
    except (OSError, smtplib.SMTPException) as error:
        yield failed(
            "mail",
            f"{place}: {_first_line(error)}",
            "Correct THREADA_SMTP_URL, or let this machine connect. Then try manage.py send_test_mail ADDRESS.",
        )
    else:
        yield ok("mail", f"{place} answers")


def broker() -> Iterator[Finding]:
    """Connect to the broker, if jobs run there."""
    if settings.THREADA_ENGINE != CELERY:
        yield skipped("broker", "jobs run inside PostgreSQL")
        return
    problem = engine_problem()
    if problem:
        yield failed("broker", problem, "Correct the setting.")
        return
    from kombu import Connection

    from threada_site.jobs.engines.celery.app import BROKER_AWAY

    try:
        with Connection(settings.THREADA_BROKER_URL, connect_timeout=_TIMEOUT_S) as connection:
            connection.connect()
            place = f"{connection.hostname}:{connection.port}"
    except BROKER_AWAY as error:
        yield failed("broker", _first_line(error), "Start RabbitMQ, or correct THREADA_BROKER_URL.")
    else:
        yield ok("broker", f"{place} answers")


def proxy() -> Iterator[Finding]:
    """Check that proxy headers are accepted where a proxy is in front, and that the public address leads here."""
    url = settings.THREADA_PUBLIC_URL
    if not url:
        yield skipped("proxy", "THREADA_PUBLIC_URL is not set")
        return
    trusts, proxies = settings.THREADA_TRUSTED_PROXY, text("THREADA_TRUSTED_PROXIES")
    if url.startswith("https://") and not trusts:
        yield failed(
            "proxy",
            "the public address is https, and X-Forwarded-Proto of the proxy is ignored",
            "Set THREADA_TRUSTED_PROXY=true for a proxy that sets the headers itself (docs/operations/network.md).",
        )
    elif trusts != bool(proxies):
        yield warning(
            "proxy",
            "THREADA_TRUSTED_PROXY and THREADA_TRUSTED_PROXIES are not both set",
            "Set both: otherwise all clients share the rate limits of the proxy's address.",
        )
    else:
        yield ok("proxy", "proxy headers are set up")
    yield _public_address(url)


def _public_address(url: str) -> Finding:
    fix = "Let the proxy pass requests to the web processes, and correct THREADA_PUBLIC_URL."
    try:
        with urllib.request.urlopen(f"{url.rstrip('/')}/healthz", timeout=_TIMEOUT_S) as answer:  # noqa: S310
            if answer.headers.get("Threada-Version"):
                return ok("public address", f"{url} answers")
            return failed("public address", f"{url} is answered by something else", fix)
    except (OSError, ValueError, urllib.error.URLError) as error:
        return failed("public address", f"{url}: {_first_line(error)}", fix)


def _first_line(error: BaseException) -> str:
    return str(error).strip().partition("\n")[0] or type(error).__name__
