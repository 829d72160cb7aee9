"""Every entry point of a real instance refuses a person who left a second ago, in every web process.

What is not an entry point of HTTP is tested where it is: votes and delegations in `tests/workitems/steps`, accounts at
identity providers in `tests/threada_site/sign_in`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Final

import httpx
import pytest

from tests.adversarial.server import Server, running_server

pytestmark = [pytest.mark.adversarial, pytest.mark.timeout(900)]

PROCESSES: Final = 2
TIMES: Final = 8
"""Requests to each entry point, on connections of their own, so that every web process answers."""
PASSWORD, NEW = "correct horse battery staple", "another battery staple horse"
WORK_ITEM: Final = {
    "workflow_id": "policy_review",
    "channel_id": "web_main",
    "payload": {"question": "May we share the vendor list?"},
}


@dataclass
class World:
    """A running instance with one person: a session, a token, an export, a link for a new password."""

    server: Server
    token: str = ""
    session: dict[str, str] = field(default_factory=dict)
    export: str = ""
    reset: str = ""
    etag: str = ""
    item: str = ""
    before: dict[str, set[int]] = field(default_factory=dict)

    def client(self, *, is_signed_in: bool = False) -> httpx.Client:
        return httpx.Client(
            base_url=f"http://localhost:{self.server.port}", cookies=self.session if is_signed_in else None, timeout=30
        )

    def api(self, method: str, path: str, **more: object) -> httpx.Response:
        headers = {"Authorization": f"Bearer {self.token}", **more.pop("headers", {})}  # type: ignore[dict-item]
        with self.client() as client:
            return client.request(method, path, headers=headers, **more)  # type: ignore[arg-type]

    def page(self, path: str) -> httpx.Response:
        with self.client(is_signed_in=True) as client:
            return client.get(path)

    def save_time_zone(self) -> int:
        """Return 200 if the form was saved: it leads to the dashboard then, and to the sign-in otherwise."""
        form = {"csrfmiddlewaretoken": self.session["threada_csrf"], "time_zone": "Europe/Berlin"}
        with self.client(is_signed_in=True) as client:
            answer = client.post("/console/time-zone/", data=form)
        return 200 if answer.headers.get("location") == "/console/" else answer.status_code

    def sign_in(self, password: str) -> httpx.Response:
        with self.client() as client:
            client.get("/console/login/")
            csrf = client.cookies["threada_csrf"]
            form = {"username": "leaver", "password": password, "csrfmiddlewaretoken": csrf}
            answer = client.post("/console/login/", data=form)
            if answer.status_code == 302:
                self.session = dict(client.cookies)
            return answer

    def set_password(self, link: str) -> httpx.Response:
        with self.client() as client:
            client.get("/console/login/")
            form = {"new_password": PASSWORD, "again": PASSWORD, "csrfmiddlewaretoken": client.cookies["threada_csrf"]}
            return client.post("/console/" + link.partition("/console/")[2], data=form)


ENTRY_POINTS: Final[dict[str, Callable[[World], int]]] = {
    "page": lambda world: world.page("/console/").status_code,
    "list": lambda world: world.page("/console/workitems/workitem/").status_code,
    "choice of a tenant": lambda world: world.page("/console/tenant/").status_code,
    "form": lambda world: world.save_time_zone(),
    "read by token": lambda world: world.api("GET", "/work-items").status_code,
    "conditional read by token": lambda world: (
        world.api("GET", f"/work-items/{world.item}", headers={"If-None-Match": world.etag}).status_code
    ),
    "write by token": lambda world: world.api("POST", "/work-items", json=WORK_ITEM).status_code,
    "repeated write by token": lambda world: (
        world.api("POST", "/work-items", json=WORK_ITEM, headers={"Idempotency-Key": "once"}).status_code
    ),
    "action by token": lambda world: world.api("POST", f"/work-items/{world.item}/cancel", json={}).status_code,
    "download by token": lambda world: world.api("GET", f"/telemetry/exports/{world.export}/download").status_code,
    "export by token": lambda world: world.api("POST", "/telemetry/exports", json={}).status_code,
    "metrics by token": lambda world: world.api("GET", "/metrics").status_code,
}
REFUSED: Final = {301, 302, 401, 403, 404}


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    directory = tmp_path_factory.mktemp("departed")
    with running_server(directory, THREADA_WEB_PROCESSES=str(PROCESSES)) as server:
        world = World(server)
        scopes = "workitems:read workitems:write telemetry:read"
        made = ["--tenant", "demo", "--principal", "leaver", "--kind", "human", "--role", "operator"]
        printed = server.manage("create_credential", *made, "--scopes", scopes)
        world.token = next(word for word in printed.split() if word.startswith("thr_"))
        link = server.manage("reset_password", "--principal", "leaver").split()[-1]
        assert world.set_password(link).status_code == 200
        assert world.sign_in(PASSWORD).status_code == 302
        world.reset = server.manage("reset_password", "--principal", "leaver").split()[-1]
        created = world.api("POST", "/work-items", json=WORK_ITEM, headers={"Idempotency-Key": "once"})
        assert created.status_code == 201, created.text
        world.item = created.json()["id"] if "id" in created.json() else created.json()["work_item_id"]
        world.etag = world.api("GET", f"/work-items/{world.item}").headers.get("etag", "")
        exported = world.api("POST", "/telemetry/exports", json={}).json()
        world.export = exported["id"] if "id" in exported else exported["export_id"]
        for name, send in ENTRY_POINTS.items():
            world.before[name] = {send(world) for _ in range(TIMES)}
        server.manage("remove_member", "--tenant", "demo", "--principal", "leaver")
        yield world


@pytest.mark.parametrize("name", ENTRY_POINTS)
def test_an_entry_point_refuses_somebody_who_left(world: World, name: str) -> None:
    was_open = name == "metrics by token" or bool(world.before[name] - REFUSED)
    assert was_open, f"{name} was not open before: {world.before[name]}"
    assert {ENTRY_POINTS[name](world) for _ in range(TIMES)} <= REFUSED


def test_neither_the_password_nor_a_link_signs_in(world: World) -> None:
    assert world.sign_in(PASSWORD).status_code == 200, "the form is shown again"
    assert world.set_password(world.reset).status_code == 404
    assert world.sign_in(PASSWORD).status_code == 200


def test_nothing_failed(world: World) -> None:
    assert "Traceback" not in world.server.log.read_text()
