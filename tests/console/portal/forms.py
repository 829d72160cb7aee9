"""Forms of the request portal in tests: open a form, and send it as a browser without scripts does."""

from __future__ import annotations

import re
from typing import Any

from django.test import Client

from integrations.models import Execution
from policies.configuration.workflows import upsert_workflow
from policies.documents.workflow import parse_workflow
from policies.models import Workflow
from tests.factories import acting_system
from tests.journeys.demo import Demo
from threada_site.database.unit_of_work import unit_of_work
from workitems.models import WorkItem

FORM = "/console/request/payment_run"
REQUESTS = "/console/requests/"
_TOKEN = re.compile(r'name="_token" value="([^"]+)"')


def token_of(browser: Client, address: str = FORM) -> str:
    """Open a form. Return its token."""
    page = browser.get(address)
    assert page.status_code == 200, page.content
    found = _TOKEN.search(page.content.decode())
    assert found is not None
    return found[1]


def send(browser: Client, address: str = FORM, *, token: str | None = None, button: str = "_send", **sent: Any) -> Any:
    """Send a form with fields by name, `vendor="Hooli"` or `**{"lines/0/sku": "x"}`; others begin with `_`."""
    named = {name if name.startswith("_") else f"p/{name}": value for name, value in sent.items()}
    unsent = {f"p/{name}": "" for name in ("vendor", "amount_minor", "invoice") if address.startswith(FORM)}
    body = {"_token": token_of(browser, address) if token is None else token, button: "1", **unsent, **named}
    return browser.post(address, body)


def put_workflow(demo: Demo, slug: str = "payment_run", **changes: Any) -> None:
    """Add a version of a workflow with some members of its spec changed; None leaves one out."""
    with unit_of_work(demo.tenant.id):
        workflow = Workflow.objects.select_related("current_version").get(slug=slug)
        spec = {"name": workflow.name, **workflow.current_version.spec, **changes}
        document = parse_workflow({key: value for key, value in spec.items() if value is not None})
        upsert_workflow(slug, document, ctx=acting_system(demo.tenant))


def plain_payments(demo: Demo) -> None:
    """Give the payment run a schema without annotations, and requests by the channel `web_main`."""
    members = {"vendor": {"type": "string", "minLength": 1}, "amount_minor": {"type": "integer", "minimum": 1}}
    schema = {
        "type": "object",
        "required": ["vendor", "amount_minor"],
        "properties": {**members, "invoice": {"type": "string", "maxLength": 100}},
    }
    declared = {"action": "pay", "integration": "int_bank", "channel": "web_main"}
    put_workflow(demo, payload_schema=schema, request=declared, title=None, summary=None, related_by=None)


def stored(demo: Demo) -> tuple[int, int]:
    """Return the numbers of work items and executions."""
    with unit_of_work(demo.tenant.id):
        return WorkItem.objects.count(), Execution.objects.count()
