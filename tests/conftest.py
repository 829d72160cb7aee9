"""Fixtures and databases of all tests: a tenant, its people, and API clients."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import psycopg
import pytest
from django.conf import settings
from django.core.signals import request_finished, request_started, setting_changed
from django.db import connection
from django.test import TransactionTestCase
from pytest_django import Settings
from pytest_django.plugin import DjangoDbBlocker
from whitenoise.middleware import WhiteNoiseMiddleware

from telemetry.log.key_file import SigningKey
from telemetry.receipts import refusals
from telemetry.receipts.keyring import ReceiptKeyring, replaced_keyring
from telemetry.receipts.refusal_counts import RefusalCounts
from tests.client import Api
from tests.databases.contents import Values
from tests.databases.order import in_order
from tests.databases.process import Databases, content_of, uses_database
from tests.examples import load_profile
from tests.factories import make_tenant
from tests.jobs import role_of_this_process
from tests.lanes import chosen_marks, long_modules_first, may_have_one
from threada_site import postgres
from threada_site.database.role_names import APP
from threada_site.tenancy.models import Tenant
from threada_site.tenancy.quotas.require import forget_counts
from threada_site.tenancy.request_limits import forget

if sys.dont_write_bytecode:
    # Compiling Threada and its libraries takes 2 s of each process that tests start, and 7 s of each worker.
    sys.dont_write_bytecode = False
    sys.pycache_prefix = str(Path(__file__).parents[1] / ".pytest_cache" / "bytecode")
    os.environ["PYTHONPYCACHEPREFIX"] = sys.pycache_prefix
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

# Tests send requests as fast as they can. Those of rate limits set them; processes that tests start have none.
os.environ.setdefault("THREADA_RATE_LIMITS", "off")
# Tenants of tests require no second factor; tests of that turn it on.
os.environ.setdefault("THREADA_REQUIRE_MFA", "off")
MOST_WORKERS: Final = 8
"""Each opens up to 16 connections, of the 100 that the embedded server takes."""
_found_running = pytest.StashKey[bool]()


def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """Return the number of processes for the whole suite: one for each core, as each first prepares its databases.

    Single files, faults, races and browsers run in one process.
    """
    whole = config.args == config.getini("testpaths") or not config.args
    cores = len(os.sched_getaffinity(0))
    return min(cores, MOST_WORKERS) if whole and config.option.markexpr.startswith("not adversarial") else 0


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--part", default="1/1", metavar="K/N", help="run the K-th of N parts; each file is in one part")


def pytest_configure() -> None:
    load_profile()
    settings.THREADA_RATE_LIMITS = dict.fromkeys(settings.THREADA_RATE_LIMITS, 0)
    settings.THREADA_REQUIRE_MFA = False


def pytest_sessionstart(session: pytest.Session) -> None:
    session.config.stash[_found_running] = bool(settings.DATABASE_URL) or (
        postgres.status(settings.THREADA_DATA_DIR) is not None
    )


@pytest.hookimpl(trylast=True)
def pytest_unconfigure(config: pytest.Config) -> None:
    """Stop the embedded server that these tests started, unless other processes use it now."""
    if config.stash.get(_found_running, True):
        return
    connection.close()
    connection.close_pool()
    cluster = postgres.status(settings.THREADA_DATA_DIR)
    if cluster is None:
        return
    with psycopg.connect(**cluster.conninfo(user=cluster.superuser, dbname="postgres")) as superuser:
        others = superuser.execute(
            "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()"
        ).fetchone()
    if others == (0,):
        postgres.stop(settings.THREADA_DATA_DIR)


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Ignore files without a test of this lane."""
    marks = chosen_marks(config.option.markexpr)
    is_file = collection_path.name.startswith("test_") and collection_path.suffix == ".py"
    return True if marks and is_file and not may_have_one(collection_path, marks) else None


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Keep the tests of this part, in the order of the databases that they begin with."""
    part, parts = map(int, config.getoption("part").split("/"))
    files = sorted({item.path for item in items})
    mine = set(files[part - 1 :: parts])
    config.hook.pytest_deselected(items=[item for item in items if item.path not in mine])
    items[:] = [item for item in items if item.path in mine]
    for item in items:
        if uses_database(item):
            item.fixturenames.insert(0, "prepared")  # before the fixture that begins the transaction of the test
    items[:] = in_order(items)
    if chosen_marks(config.option.markexpr):
        items[:] = long_modules_first(items)


@pytest.fixture
def instance_log(settings: Settings) -> None:
    """Keep the instance log, which is off by default."""
    settings.THREADA_INSTANCE_LOG = True


@pytest.fixture(scope="session", autouse=True)
def folder_of_exports(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Write export files to a folder that pytest removes, also in processes that tests start."""
    settings.THREADA_EXPORT_DIR = tmp_path_factory.mktemp("exports")
    os.environ["THREADA_EXPORT_DIR"] = str(settings.THREADA_EXPORT_DIR)


@pytest.fixture(scope="session", autouse=True)
def folder_of_attachments(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Store attachments in a folder that pytest removes, also in processes that tests start."""
    folder = tmp_path_factory.mktemp("attachments")
    attachments = {**settings.STORAGES["attachments"], "OPTIONS": {"location": folder}}
    settings.STORAGES = {**settings.STORAGES, "attachments": attachments}
    setting_changed.send(sender=None, setting="STORAGES", value=settings.STORAGES, enter=True)
    os.environ["THREADA_ATTACHMENT_DIR"] = str(folder)


@pytest.fixture(scope="session", autouse=True)
def rights_of_the_web() -> None:
    """Run requests with the rights of the web's login; tests themselves use the login of all other processes."""
    request_started.connect(_become_web, dispatch_uid="rights_of_the_web")
    request_finished.connect(_become_platform, dispatch_uid="rights_of_the_web")


@pytest.fixture(scope="session", autouse=True)
def own_keys_of_receipts() -> Iterator[None]:
    """Let requests sign receipts with the key of the web only, and jobs with that of the worker, as processes with
    accounts of their own have no others."""
    sign = ReceiptKeyring.private

    def private(keyring: ReceiptKeyring, role: str) -> SigningKey:
        own = role_of_this_process.get()
        assert replaced_keyring() is not None or own in (None, role), f"{own} signs a receipt of the {role}"
        return sign(keyring, role)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ReceiptKeyring, "private", private)
        request_started.connect(_sign_as_web, dispatch_uid="own_keys_of_receipts")
        request_finished.connect(_sign_as_any, dispatch_uid="own_keys_of_receipts")
        yield


def _sign_as_web(**_: Any) -> None:
    role_of_this_process.set("web")


def _sign_as_any(**_: Any) -> None:
    role_of_this_process.set(None)


def _become_web(**_: Any) -> None:
    if connection.connection is not None and not connection.needs_rollback and not connection.closed_in_transaction:
        connection.connection.execute(f"SET ROLE {APP}")


def _become_platform(**_: Any) -> None:
    if connection.connection is not None and not connection.needs_rollback and not connection.closed_in_transaction:
        connection.connection.execute("RESET ROLE")


@pytest.fixture(scope="session", autouse=True)
def static_files_read_once() -> Iterator[None]:
    """Read the headers of static files once instead of in each new test client."""
    files: dict[str, Any] = {}
    read = WhiteNoiseMiddleware.add_files_from_finders

    def add_files_from_finders(middleware: WhiteNoiseMiddleware) -> None:
        if not files:
            read(middleware)
            files.update(middleware.files)
        middleware.files.update(files)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(WhiteNoiseMiddleware, "add_files_from_finders", add_files_from_finders)
        yield


@pytest.fixture(scope="session")
def databases(
    request: pytest.FixtureRequest,
    folder_of_exports: None,
    folder_of_attachments: None,
    rights_of_the_web: None,
    static_files_read_once: None,
    django_test_environment: None,
    django_db_modify_db_settings: None,
    django_db_blocker: DjangoDbBlocker,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Databases]:
    """Return the test databases of this process. `--create-db` migrates the template again."""
    with django_db_blocker.unblock(), pytest.MonkeyPatch.context() as patch:
        databases = Databases(tmp_path_factory.mktemp("contents"), fresh=request.config.getvalue("create_db"))
        patch.setattr(TransactionTestCase, "_fixture_teardown", lambda _test: databases.emptying.run())
        with django_db_blocker.block():
            yield databases
        databases.end()


@pytest.fixture(scope="session")
def django_db_setup(databases: Databases) -> None:
    """Replace the databases that pytest-django would migrate in each process."""


@pytest.fixture
def prepared(request: pytest.FixtureRequest, databases: Databases, django_db_blocker: DjangoDbBlocker) -> Values:
    """Fixture → a function that makes its value, for the content that this test begins with; {} if it has none."""
    with django_db_blocker.unblock():
        return databases.enter(content_of(request.node))


@pytest.fixture(autouse=True)
def outside_any_tenant() -> None:
    """Leave the tenant of a test that failed inside a unit of work."""
    connection.threada_tenant = connection.threada_visibility = None
    role_of_this_process.set(None)


@pytest.fixture(autouse=True)
def nothing_counted(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Forget the refusals and open items that other tests counted, since their tenants have the same ids."""
    counts = RefusalCounts()
    monkeypatch.setattr(refusals, "counts", counts)
    forget_counts()
    yield
    counts.forget()


@pytest.fixture
def tenant(db: None, prepared: Values) -> Tenant:
    return prepared["tenant"]() if "tenant" in prepared else make_tenant("acme")


@pytest.fixture
def other_tenant(db: None, prepared: Values) -> Tenant:
    return prepared["other_tenant"]() if "other_tenant" in prepared else make_tenant("globex")


@pytest.fixture
def rate_limits(settings: Settings) -> Iterator[Callable[..., None]]:
    """Return a function that sets rates per second: `rate_limits(credential=2)`. Other requests are not limited.

    A rate of 0.01 with a burst of 500 seconds admits five requests, on the slowest machine as on the fastest.
    """

    def limit(*, burst_seconds: int = 5, **rates: float) -> None:
        settings.THREADA_RATE_LIMITS = {**dict.fromkeys(settings.THREADA_RATE_LIMITS, 0), **rates}
        settings.THREADA_RATE_BURST_SECONDS = burst_seconds

    forget()
    yield limit
    forget()


@pytest.fixture
def api() -> Callable[..., Api]:
    """Return a factory of clients: `api(token).get("/me")`; `api()` sends no credential."""
    return Api
