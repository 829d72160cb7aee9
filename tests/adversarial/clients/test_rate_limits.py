"""Rate limits of a real instance with several web processes, under clients that do not wait."""

from __future__ import annotations

import contextlib
import http.client
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Final

import orjson
import pytest

from tests.adversarial.server import Server, running_server
from threada_site.kernel import tokens
from threada_site.tenancy.rate_leases import Bucket

pytestmark = [pytest.mark.adversarial, pytest.mark.quiet]

PROCESSES: Final = 3
BURST_SECONDS: Final = 5
ROUNDS: Final = 5
CREDENTIAL, TENANT, ADDRESS = 20, 30, 5
WORK_ITEM: Final = orjson.dumps(
    {"workflow_id": "policy_review", "channel_id": "web_main", "payload": {"question": "May we share the vendor list?"}}
)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    limits = f"credential={CREDENTIAL} tenant={TENANT} address={ADDRESS}"
    with running_server(
        tmp_path_factory.mktemp("limited"), THREADA_WEB_PROCESSES=str(PROCESSES), THREADA_RATE_LIMITS=limits
    ) as server:
        yield server


def most(rate: int, seconds: float) -> float:
    """Return how many requests may pass: the burst, the rate, and the unspent blocks of all processes."""
    bucket = Bucket("", "", rate, rate * BURST_SECONDS)
    return bucket.burst + rate * seconds + PROCESSES * bucket.block


class Client:
    """One connection that is kept open, from any loopback address."""

    def __init__(self, server: Server, token: str = "", *, source: str = "127.0.0.1") -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=30, source_address=(source, 0))
        self._token = token or server.token

    def send(
        self,
        method: str,
        path: str,
        body: bytes | None = None,
        *,
        token: str = "",
        headers: dict[str, str] | None = None,
    ) -> int:
        """Return the status; 0 if the connection was closed."""
        sent = {
            "Authorization": f"Bearer {token or self._token}",
            "Content-Type": "application/json",
            **(headers or {}),
        }
        try:
            self._connection.request(method, path, body, sent)
            answer = self._connection.getresponse()
            answer.read()
        except (OSError, http.client.HTTPException):
            self._connection.close()
            return 0
        return answer.status


@contextmanager
def flooding(count: int, request: Callable[[int], Callable[[], int]]) -> Iterator[Counter[int]]:
    """Send requests from `count` threads without waiting while the block runs; yield the statuses."""
    statuses: Counter[int] = Counter()
    ended = threading.Event()

    def flood(number: int) -> None:
        send = request(number)
        while not ended.is_set():
            statuses[send()] += 1

    threads = [threading.Thread(target=flood, args=(number,), daemon=True) for number in range(count)]
    for thread in threads:
        thread.start()
    try:
        yield statuses
    finally:
        ended.set()
        for thread in threads:
            thread.join(30)


def reading(server: Server, token: str, *, source: str = "127.0.0.1") -> Callable[[], int]:
    client = Client(server, token, source=source)
    return lambda: client.send("GET", "/me")


def noisy_token(server: Server, tenant: str) -> str:
    with contextlib.suppress(AssertionError):  # there already
        server.manage("create_tenant", tenant, "--steward", f"keeper-of-{tenant}")
    words = ("--principal", "noisy", "--kind", "service", "--role", "requester", "--scopes", "workitems:write")
    words = (*words, "--owner", f"keeper-of-{tenant}")
    printed = server.manage("create_credential", "--tenant", tenant, *words)
    return next(word for word in printed.split() if word.startswith("thr_"))


def test_processes_together_keep_to_the_limit(server: Server) -> None:
    token = noisy_token(server, "limits")
    began = time.monotonic()
    with flooding(6, lambda _number: reading(server, token)) as statuses:
        time.sleep(8)
    seconds = time.monotonic() - began
    print(f"credential {CREDENTIAL}/s for {seconds:.1f} s: {dict(statuses)}")
    assert set(statuses) <= {200, 429}
    assert statuses[200] <= most(CREDENTIAL, seconds)
    assert statuses[200] >= CREDENTIAL * 8 * 0.8
    assert statuses[429] > 0


def test_credentials_of_a_tenant_together_keep_to_its_limit(server: Server) -> None:
    held = [noisy_token(server, "crowd") for _ in range(4)]
    began = time.monotonic()
    with flooding(4, lambda number: reading(server, held[number])) as statuses:
        time.sleep(8)
    seconds = time.monotonic() - began
    print(f"tenant {TENANT}/s for {seconds:.1f} s: {dict(statuses)}")
    assert statuses[200] <= most(TENANT, seconds)
    assert statuses[200] >= TENANT * 8 * 0.8


def test_a_tenant_at_its_limit_does_not_slow_another(server: Server) -> None:
    """Compared in rounds, because other work on the machine changes: a flood that slowed creates would in each."""
    token = noisy_token(server, "noisy")
    quiet = Client(server)

    def creates(count: int = 15) -> float:
        """Return the median seconds of a create; half the requests that the limit allows."""
        took = []
        for _ in range(count):
            begun = time.monotonic()
            assert quiet.send("POST", "/work-items", WORK_ITEM) == 201
            took.append(time.monotonic() - begun)
            time.sleep(2 / CREDENTIAL)
        return median(took)

    creates()
    ratios = []
    for _ in range(ROUNDS):
        alone = creates()
        with flooding(4, lambda _number: reading(server, token, source="127.0.0.2")) as statuses:
            while not statuses[429]:
                time.sleep(0.1)
            flooded = creates()
        ratios.append(flooded / alone)
        print(f"create alone {alone * 1000:.1f} ms, beside a flood {flooded * 1000:.1f} ms: {dict(statuses)}")
    assert min(ratios) <= 2, ratios


def test_failures_are_limited_whatever_addresses_are_invented(server: Server) -> None:
    valid = Client(server, source="127.0.0.3")
    for _ in range(40):  # every process knows the credential then
        assert Client(server, source="127.0.0.3").send("GET", "/me") == 200
        time.sleep(1 / CREDENTIAL)

    def guess(number: int) -> Callable[[], int]:
        client = Client(server, source="127.0.0.3")
        counter = iter(range(10**9))

        def send() -> int:
            invented = {"X-Forwarded-For": f"198.51.{number}.{next(counter) % 250}"}
            return client.send("GET", "/me", token=tokens.new_token(), headers=invented)

        return send

    began = time.monotonic()
    with flooding(4, guess) as statuses:
        answers = []
        while time.monotonic() - began < 8:
            answers.append(valid.send("GET", "/me"))
            time.sleep(2 / CREDENTIAL)
    seconds = time.monotonic() - began
    print(f"failures of an address {ADDRESS}/s for {seconds:.1f} s: {dict(statuses)}; valid: {Counter(answers)}")
    assert set(statuses) <= {401, 429}
    assert statuses[401] <= most(ADDRESS, seconds)
    assert statuses[429] > statuses[401]
    assert set(answers) == {200}
    assert Client(server, source="127.0.0.4").send("GET", "/me", token=tokens.new_token()) == 401
    token = (Path(server.environment["THREADA_DATA_DIR"]) / "keys" / "metrics_token").read_text().strip()
    asked = f"GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nAuthorization: Bearer {token}\r\n\r\n"
    metrics = server.exchange(asked.encode()).body.decode().splitlines()
    counted = next(line for line in metrics if line.startswith('threada_rate_limited_requests{limit="address"}'))
    assert float(counted.split()[-1]) > 0
