"""An instance on several hosts: processing across hosts, a disconnected host, a rolling restart, a dying sealer.

`THREADA_TEST_CUT_SECONDS`: seconds for which a host is disconnected (60).
"""

from __future__ import annotations

import http.client
import http.cookiejar
import json
import os
import re
import shutil
import signal
import subprocess
import threading
import time
import urllib.parse
import urllib.request
import uuid
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.adversarial.banks import FORGETS, KEEPS
from tests.adversarial.machines import PORT, Machine, Site
from tests.adversarial.network import why_not
from tests.adversarial.rehearsal import running_site
from tests.adversarial.server import REPOSITORY
from tests.adversarial.waiting import until

CUT_S = float(os.environ.get("THREADA_TEST_CUT_SECONDS", "60"))
BALANCER = "10.77.0.5"
# A lease lasts 30 s and is checked every 5 s; a call takes up to 10 s; the rest allows for a busy machine.
TAKEN_OVER_WITHIN_S = 90.0

pytestmark = [pytest.mark.adversarial, pytest.mark.timeout(900), pytest.mark.skipif(bool(why_not()), reason=why_not())]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with running_site(tmp_path_factory.mktemp("site")) as running:
        running.receiver.behave({f"/{KEEPS}": {"dedupe": True}})
        yield running


def test_work_item_is_processed_across_hosts(site: Site) -> None:
    web1, web2 = site.webs
    item = site.hand_in(web1, amount=2_000_000)
    execution = site.execute(web1, item)
    steps = web2.send("GET", f"/decision-steps?work_item_id={item}", token=site.token)[1]["data"]
    (step,) = [each for each in steps if each["status"] == "pending"]
    for web, person in ((web2, "finance-1"), (web1, "finance-2")):
        vote = {"decision": "approve", "envelope_sha256": step["envelope_sha256"]}
        status, answer = web.send(
            "POST", f"/decision-steps/{step['decision_step_id']}/votes", vote, token=site.people[person]
        )
        assert status == 201, answer
    until(lambda: site.status_of(execution) == "succeeded")
    assert len(site.calls(execution)) == 1
    site.assert_ledger_is_whole()


def test_cursor_of_one_web_host_is_accepted_by_another(site: Site) -> None:
    made = [site.hand_in(site.webs[0]) for _ in range(3)]
    first = site.webs[0].send("GET", "/work-items?limit=1", token=site.token)[1]
    second = site.webs[1].send(
        "GET", f"/work-items?limit=1&cursor={urllib.parse.quote(first['next_cursor'])}", token=site.token
    )
    assert second[0] == 200, second
    assert [first["data"][0]["work_item_id"], second[1]["data"][0]["work_item_id"]] == made[:0:-1]


def test_console_session_is_valid_on_another_host(site: Site) -> None:
    password = uuid.uuid4().hex
    site.workers[0].manage(
        "shell", "-v", "0", "-c",
        "from threada_site.tenancy.models import User; u = User.objects.get(username='finance-1'); "
        f"u.set_password('{password}'); u.save()",
    )  # fmt: skip
    jar = http.cookiejar.CookieJar()
    browser = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(jar))
    web1, web2 = (f"http://{web.address}:{PORT}" for web in site.webs)
    page = browser.open(f"{web1}/console/login/", timeout=20).read().decode()
    token = re.search(r'name="csrfmiddlewaretoken" value="([^"]+)"', page)
    assert token is not None
    form = {"csrfmiddlewaretoken": token[1], "username": "finance-1", "password": password, "next": "/console/"}
    browser.open(f"{web1}/console/login/", urllib.parse.urlencode(form).encode(), timeout=20).close()
    session = {cookie.name: cookie.value for cookie in jar}
    assert "threada_session" in session
    there = urllib.request.Request(
        f"{web2}/console/", headers={"Cookie": "; ".join(f"{name}={value}" for name, value in session.items())}
    )
    with urllib.request.urlopen(there, timeout=20) as answer:
        assert answer.status == 200
        assert answer.url == f"{web2}/console/"


def test_disconnected_worker_host_causes_no_loss_and_no_duplicate(site: Site) -> None:
    """Assert that the host's work is done elsewhere and that its late results are ignored."""
    cut = site.workers[0]
    slow = {"delay_s": 4.0}
    site.receiver.behave({f"/{KEEPS}": {"dedupe": True, **slow}, f"/{FORGETS}": slow})
    asked: list[tuple[str, str]] = []
    while not any(each["from"] == cut.address for each in _calls_of(site, asked)):
        asked += [(site.execute(site.webs[0], site.hand_in(site.webs[0]), bank), bank) for bank in (KEEPS, FORGETS)]
        time.sleep(0.5)
        assert len(asked) < 60
    with site.network.cut_off(cut.name):
        began = time.monotonic()
        asked += [(site.execute(site.webs[1], site.hand_in(site.webs[1]), bank), bank) for bank in (KEEPS, FORGETS)]
        if CUT_S >= TAKEN_OVER_WITHIN_S / 2:
            until(lambda: _open(site) == 0, seconds=TAKEN_OVER_WITHIN_S)
            print(f"\nall {len(asked)} ended {time.monotonic() - began:.1f} s after the cut, before it was healed")
        time.sleep(max(0.0, CUT_S - (time.monotonic() - began)))
    took = until(lambda: _open(site) == 0, seconds=TAKEN_OVER_WITHIN_S)
    print(
        f"\ncut off for {time.monotonic() - began - took:.0f} s; {len(asked)} executions had ended {took:.1f} s later"
    )
    settled = _recorded(site)
    time.sleep(3.0)
    assert _recorded(site) == settled
    ended = {execution: site.status_of(execution) for execution, _ in asked}
    for execution, bank in asked:
        calls = site.calls(execution)
        if bank == KEEPS:
            assert ended[execution] == "succeeded"
            assert sum(call["effect"] for call in calls) == 1
        else:
            assert ended[execution] in ("succeeded", "outcome_unknown")
            assert len(calls) <= 1
            assert ended[execution] == "outcome_unknown" or len(calls) == 1
    print(Counter((bank, ended[execution]) for execution, bank in asked))
    terminal = dict(
        site.query(
            "SELECT execution_id::text, count(*) FROM telemetry_receipt WHERE kind IN ('execution.succeeded', "
            "'execution.failed', 'execution.outcome_unknown') GROUP BY 1"
        )
    )
    assert set(terminal.values()) == {1}
    site.receiver.behave({f"/{KEEPS}": {"dedupe": True}})
    again: list[tuple[str, str]] = []
    took = until(lambda: _works_at(site, cut, again))
    print(f"it works again by itself: an execution was called from there {took:.1f} s after it was looked for")
    site.assert_ledger_is_whole()


def test_disconnected_web_host_recovers(site: Site) -> None:
    cut, other = site.webs
    body = {"workflow_id": "payment_run", "channel_id": "web_main", "payload": {"vendor": "Hooli", "amount_minor": 7}}
    before = site.number("SELECT count(*) FROM workitems_workitem")
    keys = [uuid.uuid4().hex for _ in range(20)]
    answers: dict[str, int] = {}

    def post() -> None:
        for key in keys:
            answers[key] = cut.send("POST", "/work-items", body, token=site.token, key=key, timeout=4.0)[0]

    client = threading.Thread(target=post)
    client.start()
    until(lambda: len(answers) >= 5)
    with site.network.cut_off(cut.name):
        began = time.monotonic()
        until(lambda: 0 in answers.values())
        for key, status in list(answers.items()):
            if status != 201:
                answers[key] = other.send("POST", "/work-items", body, token=site.token, key=key)[0]
        assert other.is_ready()
        time.sleep(max(0.0, min(CUT_S, 60.0) - (time.monotonic() - began)))
    client.join()
    took = until(cut.is_ready)
    print(f"\nready again {took:.1f} s after it was healed")
    for key in keys:
        status, _ = cut.send("POST", "/work-items", body, token=site.token, key=key)
        assert status == 201
    assert site.number("SELECT count(*) FROM workitems_workitem") == before + len(keys)


@pytest.mark.skipif(shutil.which("haproxy") is None, reason="HAProxy is not installed (apt-get install haproxy)")
def test_rolling_restart_fails_no_request(site: Site, tmp_path: Path) -> None:
    with balanced(site, tmp_path):
        until(lambda: _ask(("GET", "/readyz", None, {}))[0] == 200)
        stop, outcomes, lock = threading.Event(), Counter[str](), threading.Lock()
        posted: list[str] = []
        marker = uuid.uuid4().hex[:12]

        def load(number: int) -> None:
            connection, count = _connection(), 0
            while not stop.is_set():
                count += 1
                invoice = f"{marker}-{number}-{count}"
                payload = {"vendor": "Hooli", "amount_minor": 5, "invoice": invoice}
                body = {"workflow_id": "payment_run", "channel_id": "web_main", "payload": payload}
                for request, expected in (
                    (("POST", "/work-items", body, {"Idempotency-Key": invoice}), 201),
                    (("GET", "/work-items?limit=5", None, {}), 200),
                ):
                    try:
                        status, answer = _ask(request, connection=connection, token=site.token)
                    except (OSError, http.client.HTTPException) as error:
                        status, answer = 0, repr(error).encode()
                        connection = _connection()
                    with lock:
                        is_good = status == expected
                        outcomes["good" if is_good else f"{request[0]} {status} {answer[:120]!r}"] += 1
                        if request[0] == "POST":
                            posted.append(invoice)
            connection.close()

        clients = [threading.Thread(target=load, args=[number]) for number in range(4)]
        for client in clients:
            client.start()
        try:
            time.sleep(2.0)
            for web in site.webs:
                web.running["web"].restart()
                until(web.is_ready)
                time.sleep(2.0)
            for working in site.workers:
                working.running["worker"].restart()
            time.sleep(2.0)
        finally:
            stop.set()
            for client in clients:
                client.join()
    print(f"\nrolling restart under load: {outcomes.total()} requests, {len(posted)} of them POST; {dict(outcomes)}")
    assert set(outcomes) == {"good"}
    assert outcomes["good"] > 100
    made = site.number(
        "SELECT count(*) FROM workitems_workitem WHERE id IN (SELECT id FROM workitems_workitem) "
        "AND position(%s IN payload::text) > 0",
        marker,
    )
    assert made == len(posted) == len(set(posted))


def test_dead_sealer_is_replaced_within_seconds(site: Site) -> None:
    first, second = site.workers
    stop = threading.Event()

    def write() -> None:
        while not stop.wait(0.1):
            site.hand_in(site.webs[1])

    writers = [threading.Thread(target=write) for _ in range(2)]
    for writer in writers:
        writer.start()
    try:
        time.sleep(2.0)
        for machine in (first, second):
            os.killpg(machine.running["sealer"].process.pid, signal.SIGKILL)
            print(f"\nkilled: {_seconds_until_sealing_resumed(site):.1f} s until receipts written since were sealed")
        with site.network.cut_off(first.name):
            print(f"cut off: {_seconds_until_sealing_resumed(site):.1f} s until receipts written since were sealed")
        time.sleep(1.0)
    finally:
        stop.set()
        for writer in writers:
            writer.join()
    until(lambda: site.unsealed() == 0)
    assert site.number("SELECT count(*) FROM telemetry_logalarm WHERE acknowledged_at IS NULL") == 0
    site.assert_ledger_is_whole()
    for machine in site.workers:
        checkpoints = list((Path(machine.environment["THREADA_DATA_DIR"]) / "checkpoints").glob("*/*.ndjson"))
        assert checkpoints


def test_machine_with_another_key_is_refused(site: Site) -> None:
    stranger = Machine(
        site.network,
        "work1",
        site.workers[0].address,
        {**site.workers[0].environment, "THREADA_CURSOR_KEY": "another-key-of-at-least-thirty-two-characters"},
        site.workers[0].log,
    )
    with pytest.raises(AssertionError, match="THREADA_CURSOR_KEY is not the key that this instance was started with"):
        stranger.manage("worker")


@contextmanager
def balanced(site: Site, folder: Path) -> Iterator[None]:
    """HAProxy on the outside host, configured as documented, but patient with checks that a busy machine answers late."""
    text = (REPOSITORY / "docs" / "several-machines" / "haproxy.cfg").read_text()
    assert all(f"{web.address}:{PORT}" in text for web in site.webs)
    file = folder / "haproxy.cfg"
    assert text.count("    default-server check") == 1
    patient = text.replace("    default-server check", "    timeout check 10s\n    default-server check")
    file.write_text(patient.replace("bind :8000", f"bind {BALANCER}:{PORT}"))
    process = site.network.start("edge", ["haproxy", "-db", "-f", file], stderr=subprocess.DEVNULL)
    try:
        until(_is_listening)
        yield
    finally:
        process.terminate()
        process.wait(10)


def _is_listening() -> bool:
    try:
        return bool(_ask(("GET", "/healthz", None, {}))[0])
    except OSError:
        return False


def _connection() -> http.client.HTTPConnection:
    return http.client.HTTPConnection(BALANCER, PORT, timeout=30)


def _ask(
    request: tuple[str, str, Any, dict[str, str]],
    *,
    connection: http.client.HTTPConnection | None = None,
    token: str = "",
) -> tuple[int, bytes]:
    method, path, body, headers = request
    headers = {**headers, "Content-Type": "application/json", "Host": "localhost"}
    if token:
        headers["Authorization"] = f"Bearer {token}"
    connection = connection or _connection()
    connection.request(method, path, None if body is None else json.dumps(body), headers)
    answer = connection.getresponse()
    return answer.status, answer.read()


def _calls_of(site: Site, asked: list[tuple[str, str]]) -> list[dict[str, Any]]:
    executions = {execution for execution, _ in asked}
    return [each for each in site.receiver.requests() if each["headers"]["idempotency-key"] in executions]


def _works_at(site: Site, machine: Machine, asked: list[tuple[str, str]]) -> bool:
    asked.append((site.execute(site.webs[0], site.hand_in(site.webs[0])), KEEPS))
    return any(each["from"] == machine.address for each in _calls_of(site, asked))


def _open(site: Site) -> int:
    return site.number("SELECT count(*) FROM integrations_execution WHERE status IN ('started', 'running')")


def _recorded(site: Site) -> list[tuple[Any, ...]]:
    """Return everything that a late worker could change."""
    return [
        *site.query("SELECT id, outcome, failure, finished_at, fencing_token FROM integrations_attempt ORDER BY id"),
        *site.query(
            "SELECT id, status, fencing_token, attempts_made, finished_at FROM integrations_execution ORDER BY id"
        ),
    ]


def _seconds_until_sealing_resumed(site: Site) -> float:
    """From now until some receipt that is written from now on is sealed, and all that wait are younger than that."""
    since = site.query("SELECT clock_timestamp()")[0][0]
    return until(
        lambda: (
            site.number(
                "SELECT count(*) FROM telemetry_logleaf l JOIN telemetry_receipt r ON r.id = l.id WHERE r.occurred_at > %s",
                since,
            )
            and not site.number(
                "SELECT count(*) FROM telemetry_sealqueueentry q JOIN telemetry_receipt r ON r.id = q.id "
                "WHERE r.occurred_at <= %s",
                since,
            )
        ),
        seconds=60,
    )
