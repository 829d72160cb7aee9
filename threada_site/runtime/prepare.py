"""Preparation of an instance: database, schema, demo tenant, and the banner with first instructions."""

from __future__ import annotations

import json
import os
import secrets
import socket
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from django.conf import settings
from django.core.management import call_command

from threada_site import postgres
from threada_site.database.bootstrap import is_superuser, prepare_external
from threada_site.database.unit_of_work import unit_of_work
from threada_site.environment import IS_INSTALLED
from threada_site.identity.credentials import issue_credential
from threada_site.identity.grants.role_grants import grant_role
from threada_site.identity.owners import set_owner
from threada_site.identity.passwords import set_password
from threada_site.identity.principals import add_member, ensure_principal
from threada_site.identity.tenants import create_tenant, founding_context
from threada_site.jobs.engines.choice import other_engine
from threada_site.jobs.enqueue import depth_left_behind
from threada_site.kernel.context import DOCUMENTED_SCOPES, ActingContext, PrincipalKind
from threada_site.runtime.process_environments import web_login_url
from threada_site.runtime.processes import named, processes_of
from threada_site.runtime.startup import (
    NotSafeToRunError,
    refuse_unless_of_this_instance,
    refuse_unless_safe,
    refuse_unless_signing,
    refuse_unless_web_is_apart,
)
from threada_site.tenancy.instance_membership import SETTINGS, accept_facts, differing_facts
from threada_site.tenancy.models import Tenant, User
from threada_site.tenancy.schema.version import newer_schema_problem, schema_problem
from workitems.configuration.apply import apply_documents, read_documents
from workitems.gallery.catalogue import gallery_pack
from workitems.gallery.installation import install_from_gallery
from workitems.items.intake import IntakeRequest, create_work_item

DEMO: Final = "demo"
_MANAGE: Final = "threada" if IS_INSTALLED else "uv run manage.py"
DEMO_DOCUMENTS: Final = Path(__file__).parent / "demo"
DEMO_PACK: Final = "payments"
DEMO_PEOPLE: Final = {
    "admin": ("tenant_admin",),
    "finance-1": ("approver", "finance"),
    "finance-2": ("approver", "finance"),
    "security-1": ("approver", "security"),
    "developer-1": ("requester",),
}
DEMO_CLIENT: Final = "demo-client"
DEMO_OWNER: Final = "developer-1"
"""Owner of the service, who is excluded from decisions on its requests."""

DEMO_PAYLOAD: Final = {"question": "May we share the vendor list with our auditor?", "department": "procurement"}
_ITEM: Final = {"workflow_id": "policy_review", "channel_id": "web_main"}
_ACTION: Final = {"action_id": "request_approval", "integration_id": "int_workflow"}

type Progress = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Preparation:
    """Results that `up` continues with."""

    banner: str
    embedded_root: str | None
    started_database: bool


@dataclass(frozen=True, slots=True)
class DemoSecrets:
    """Passwords of the demo members and the token of the demo service. They are shown once."""

    passwords: dict[str, str]
    token: str
    work_item_id: str


def prepare(*, host: str, port: int, with_demo: bool, progress: Progress) -> Preparation:
    """Bring the instance to a state in which its processes can start. Idempotent.

    Raise `NotSafeToRunError` and `EmbeddedPostgresError`.
    """
    _check_port(host, port)
    if settings.DATABASE_URL:
        refuse_unless_web_is_apart(web_login_url())
    embedded_root, started = _database(progress)
    _refuse(newer_schema_problem())
    progress("bringing the schema up to date")
    call_command("migrate", verbosity=0, interactive=False, skip_checks=True)
    _refuse(schema_problem())
    refuse_unless_safe()
    refuse_unless_signing("web", "worker", "command")
    _take_settings_over(progress)
    refuse_unless_of_this_instance()
    _tell_of_jobs_left(progress)
    made: DemoSecrets | None = None
    if with_demo and not Tenant.objects.filter(slug=DEMO).exists():
        progress("creating the tenant demo")
        made = seed_demo()
    base_url = settings.THREADA_PUBLIC_URL or f"http://{'localhost' if host == '127.0.0.1' else host}:{port}"
    return Preparation(_banner(base_url, made, with_demo=with_demo), embedded_root, started)


def _refuse(problem: str | None) -> None:
    if problem:
        raise NotSafeToRunError(problem)


def seed_demo() -> DemoSecrets:
    """Create the tenant `demo` with documents, the payment pack, members and an owned service with a token.

    All in one transaction.
    """
    ctx = founding_context(DEMO)
    passwords: dict[str, str] = {}
    with unit_of_work(ctx.tenant_id):
        create_tenant(DEMO, "Demo", require_mfa=False, ctx=ctx)
        apply_documents(read_documents(DEMO_DOCUMENTS), ctx=ctx)
        install_from_gallery(gallery_pack(DEMO_PACK), ctx=ctx)
        for name, roles in DEMO_PEOPLE.items():
            person = _member(name, PrincipalKind.HUMAN, roles, ctx=ctx)
            passwords[name] = secrets.token_urlsafe(12)
            set_password(person, passwords[name], ctx=ctx)
        service = _member(DEMO_CLIENT, PrincipalKind.SERVICE, ("demo_client",), ctx=ctx)
        set_owner(service, DEMO_OWNER, ctx=ctx)
        issued = issue_credential(
            principal=service,
            scopes=[scope.value for scope in DOCUMENTED_SCOPES],
            label="made by manage.py up",
            expires_in=None,
            ctx=ctx,
        )
        item = create_work_item(
            IntakeRequest(workflow="policy_review", channel="web_main", payload=DEMO_PAYLOAD),
            ctx=replace(ctx, principal_id=service.id, principal_name=service.username),
        )
    return DemoSecrets(passwords, issued.token, item.public_id)


def _member(name: str, kind: PrincipalKind, roles: tuple[str, ...], *, ctx: ActingContext) -> User:
    principal = ensure_principal(name, kind=kind, ctx=ctx)
    add_member(principal, ctx=ctx)
    for role in roles:
        grant_role(principal, role, ctx=ctx)
    return principal


def _database(progress: Progress) -> tuple[str | None, bool]:
    if not settings.DATABASE_URL:
        root = settings.THREADA_DATA_DIR
        running = postgres.status(root) is not None
        if not running:
            progress("starting the embedded PostgreSQL")
        postgres.ensure_running(root, on_progress=progress)
        return str(root), not running
    progress("connecting to the PostgreSQL that DATABASE_URL names")
    if not settings.THREADA_HAS_PLATFORM_LOGIN and is_superuser(settings.DATABASE_URL):
        progress("preparing roles, logins and database there")
        prepare_external(settings.DATABASE_URL, settings.THREADA_DATA_DIR)
        _restart_with_new_login()
    return None, False


def _take_settings_over(progress: Progress) -> None:
    """Make this machine's settings those of the instance. `up` sets an instance up, so its settings apply; keys are
    compared."""
    changed = [name for name in differing_facts(with_settings=True) if name in SETTINGS]
    if changed:
        progress(f"taking over what was changed: {', '.join(changed)}")
        accept_facts(changed)


def _tell_of_jobs_left(progress: Progress) -> None:
    """Report jobs that were left with the other engine after a switch; the worker takes them over."""
    left = depth_left_behind()
    if left.waiting or left.running:
        progress(f"{left.waiting + left.running} jobs were left with {other_engine()}: the worker takes them over")


def _restart_with_new_login() -> None:
    """Run the command again: its settings were read before the login existed."""
    os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])  # noqa: S606


def _check_port(host: str, port: int) -> None:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            left = [
                process
                for process in processes_of(settings.THREADA_DATA_DIR, settings.THREADA_BASE_DIR)
                if process.pid != os.getpid()
            ]
            remedy = (
                f"These processes of this instance still run: {named(left)}. Wait until they have ended, or stop them."
                if left
                else "Choose another with --host or --port."
            )
            raise NotSafeToRunError(f"Cannot listen on {host}:{port}: {error.strerror}. {remedy}") from None


def _banner(base_url: str, made: DemoSecrets | None, *, with_demo: bool) -> str:
    lines = ["", "Threada is ready.", "", f"  Console  {base_url}/console/"]
    if made is not None:
        others = ", ".join(f"{name} / {password}" for name, password in made.passwords.items() if name != "admin")
        lines += [
            f"           user admin, password {made.passwords['admin']}",
            f"           other people of the demo (user / password): {others}",
            f"  API      {base_url}/docs",
            f"           token {made.token}",
            f"           of the service {DEMO_CLIENT}, with the five documented scopes. {DEMO_OWNER} owns it.",
            "           These secrets are shown only once. Whoever has them all is one person, whatever receipts say.",
            "",
            "Hand in a request for work:",
            "",
            _curl(f"{base_url}/work-items", made.token, {**_ITEM, "payload": DEMO_PAYLOAD}),
            "",
            "Have a work item approved by a person (this one exists already; the answer above names another):",
            "",
            _curl(f"{base_url}/actions/execute", made.token, {"work_item_id": made.work_item_id, **_ACTION}),
        ]
    else:
        lines.append(f"  API      {base_url}/docs")
        if with_demo:
            lines += [
                "",
                "  The tenant demo already exists, so its secrets are not printed again.",
                f"  A new password: {_MANAGE} changepassword admin",
                f"  A new token:    {_MANAGE} create_credential --tenant {DEMO} --principal {DEMO_CLIENT} \\",
                f'                    --kind service --owner {DEMO_OWNER} --scopes "{" ".join(DOCUMENTED_SCOPES)}"',
            ]
        else:
            lines += ["", f"  A first tenant: {_MANAGE} create_tenant SLUG --steward PERSON"]
    return "\n".join([*lines, "", "Ctrl-C stops it."])


def _curl(url: str, token: str, body: dict[str, Any]) -> str:
    return (
        f"curl -sS -X POST {url} \\\n"
        f'  -H "Authorization: Bearer {token}" \\\n'
        '  -H "Content-Type: application/json" \\\n'
        f"  -d '{json.dumps(body)}'"
    )
