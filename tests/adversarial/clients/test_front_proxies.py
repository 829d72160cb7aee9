"""The documented configurations of front proxies: client addresses, limits per address, slow clients, TLS."""

from __future__ import annotations

import datetime as dt
import http.client
import ipaddress
import shutil
import signal
import socket
import ssl
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Final

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tests.adversarial.server import REPOSITORY
from tests.benchmarks.servers import web_server
from tests.ports import free_port

pytestmark = [pytest.mark.adversarial, pytest.mark.timeout(300)]

FOLDER: Final = REPOSITORY / "docs" / "operations" / "proxies"
CONTAINERS: Final = REPOSITORY / "docs" / "operations" / "containers"
APPLICATION: Final = "tests.threada_site.runtime.web.served_application:application"
LIMITS: Final = {
    "THREADA_TRUSTED_PROXY": "true",
    "THREADA_TRUSTED_PROXIES": "127.0.0.1",
    "THREADA_CONNECTIONS_PER_ADDRESS": "4",
    "THREADA_HEAD_SECONDS": "10",
    "THREADA_BODY_PAUSE_SECONDS": "2",
    "THREADA_MAX_DOCUMENT_BYTES": str(30 << 20),
}
ATTACHMENT: Final = 10 << 20
"""Default of THREADA_MAX_ATTACHMENT_BYTES."""


class Front:
    """A proxy with TLS in front of a web server."""

    def __init__(self, port: int, web_port: int) -> None:
        self.port = port
        self.web_port = web_port
        self._context = ssl.create_default_context()
        self._context.check_hostname = False
        self._context.verify_mode = ssl.CERT_NONE

    def connect(self, number: int) -> ssl.SSLSocket:
        raw = socket.socket()
        raw.settimeout(20)
        raw.bind((f"127.0.0.{number}", 0))
        raw.connect(("127.0.0.1", self.port))
        return self._context.wrap_socket(raw, server_hostname="threada.example.org")

    def send(self, request: bytes, number: int) -> tuple[int, bytes]:
        with self.connect(number) as connection:
            connection.sendall(request)
            response = http.client.HTTPResponse(connection)
            response.begin()
            return response.status, response.read()


def get(path: str, *lines: str) -> bytes:
    return "\r\n".join([f"GET {path} HTTP/1.1", "Host: threada.example.org", *lines]).encode() + b"\r\n\r\n"


@pytest.fixture(params=["nginx", "caddy"])
def front(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Front]:
    program = "nginx" if request.param == "nginx" else "caddy"
    binary = shutil.which(program)
    if binary is None:
        pytest.skip(f"{program} is not installed (apt-get install {program})")
    port, web_port = free_port(), free_port()
    with ExitStack() as stack:
        stack.enter_context(web_server(APPLICATION, port=web_port, processes=1, environment=LIMITS))
        certificate(tmp_path)
        commands = {"nginx": nginx, "caddy": caddy, "caddy of compose.yaml": caddy_of_containers}
        command = commands[request.param](binary, tmp_path, port=port, web_port=web_port)
        stack.enter_context(running(command, port, tmp_path))
        yield Front(port, web_port)


def nginx(binary: str, folder: Path, *, port: int, web_port: int) -> list[str]:
    text = (FOLDER / "nginx.conf").read_text()
    for documented, own in {
        "server 127.0.0.1:8000;": f"server 127.0.0.1:{web_port};",
        "listen 443 ssl;": f"listen 127.0.0.1:{port} ssl;",
        "/etc/threada/tls/": f"{folder}/",
        "http {": "http {\n"
        + "".join(
            f"{kind}_temp_path {folder}/{kind};\n" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        )
        + "access_log off;",
    }.items():
        assert documented in text
        text = text.replace(documented, own)
    file = folder / "nginx.conf"
    file.write_text(f"user root;\n{text}")
    return [binary, "-p", str(folder), "-e", "stderr", "-c", str(file), "-g", f"daemon off; pid {folder}/nginx.pid;"]


def caddy(binary: str, folder: Path, *, port: int, web_port: int) -> list[str]:
    text = (FOLDER / "Caddyfile").read_text()
    for documented, own in {
        "reverse_proxy 127.0.0.1:8000": f"reverse_proxy 127.0.0.1:{web_port}",
        "threada.example.org {": f"https://threada.example.org:{port} {{\n\ttls {folder}/fullchain.pem {folder}/privkey.pem",
        "{\n\tservers {": "{\n\tadmin off\n\tauto_https off\n\tservers {",
    }.items():
        assert documented in text
        text = text.replace(documented, own)
    file = folder / "Caddyfile"
    file.write_text(text)
    return [binary, "run", "--config", str(file), "--adapter", "caddyfile"]


def caddy_of_containers(binary: str, folder: Path, *, port: int, web_port: int) -> list[str]:
    """Return the command that runs the Caddyfile of compose.yaml, with the older words of Caddy 2.6 where it runs."""
    text = (CONTAINERS / "Caddyfile").read_text()
    version = subprocess.run([binary, "version"], capture_output=True, text=True, check=True).stdout
    older = {"request_buffers 22MB": "buffer_requests\n\t\tmax_buffer_size 22MB"}
    for documented, own in {
        "reverse_proxy web:8000": f"reverse_proxy 127.0.0.1:{web_port}",
        "{$THREADA_HOST} {": f"https://threada.example.org:{port} {{\n\ttls {folder}/fullchain.pem {folder}/privkey.pem",
        "{\n\tservers {": "{\n\tadmin off\n\tauto_https off\n\tservers {",
        **(older if version.lstrip("v").startswith("2.6.") else {}),
    }.items():
        assert documented in text
        text = text.replace(documented, own)
    file = folder / "Caddyfile"
    file.write_text(text)
    return [binary, "run", "--config", str(file), "--adapter", "caddyfile"]


@contextmanager
def running(command: list[str], port: int, folder: Path) -> Iterator[None]:
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, env={"HOME": str(folder), "PATH": "/usr/bin:/bin"})
    try:
        deadline = time.monotonic() + 20
        while True:
            assert process.poll() is None, (folder / "log").read_text()
            assert time.monotonic() < deadline, (folder / "log").read_text()
            try:
                socket.create_connection(("127.0.0.1", port), 2).close()
                break
            except OSError:
                time.sleep(0.1)
        yield
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(20)


def certificate(folder: Path) -> None:
    """Write a self-signed certificate for the documented name."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "threada.example.org")])
    now = dt.datetime.now(dt.UTC)
    names = x509.SubjectAlternativeName(
        [x509.DNSName("threada.example.org"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
    )
    signed = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(names, critical=False)
        .sign(key, hashes.SHA256())
    )
    (folder / "fullchain.pem").write_bytes(signed.public_bytes(serialization.Encoding.PEM))
    (folder / "privkey.pem").write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )


def test_client_address_and_scheme_are_forwarded_and_cannot_be_invented(front: Front) -> None:
    status, body = front.send(
        get("/", "X-Forwarded-For: 203.0.113.9", "X-Forwarded-Proto: gopher", "X_Forwarded_For: 203.0.113.9"), 42
    )
    assert status == 200
    assert body.split()[4:] == [b"127.0.0.42", b"https"]


def test_limit_is_that_of_the_client_and_not_of_the_proxy(front: Front) -> None:
    """Let ten clients use one connection each, where four per address are allowed, and one client too many."""
    slow = [front.connect(50 + number) for number in range(10)]
    for connection in slow:
        connection.sendall(get("/?sleep=1"))
    assert [response(connection) for connection in slow] == [200] * 10
    greedy = [front.connect(70) for _ in range(8)]
    for connection in greedy:
        connection.sendall(get("/?sleep=1"))
    statuses = [response(connection) for connection in greedy]
    assert statuses.count(200) == 4
    assert statuses.count(429) == 4


def response(connection: ssl.SSLSocket) -> int:
    answer = http.client.HTTPResponse(connection)
    answer.begin()
    answer.read()
    connection.close()
    return answer.status


def test_slow_clients_behind_the_proxy_delay_nobody(front: Front) -> None:
    head = b"POST / HTTP/1.1\r\nHost: threada.example.org\r\nContent-Length: 900\r\n\r\n1"
    slow = [front.connect(100 + number // 2) for number in range(100)]
    for number, connection in enumerate(slow):
        connection.sendall([b"POST", head][number % 2])
    for _ in range(5):
        began = time.monotonic()
        assert front.send(get("/"), 42)[0] == 200
        assert time.monotonic() - began < 2
    for connection in slow:
        connection.close()


def test_requests_after_a_pause_find_an_open_connection(front: Front) -> None:
    """Threada closes an idle connection after ten seconds; the proxy has to give it up before."""
    for pause in (0.0, 4.8, 5.2, 9.9, 10.1):
        time.sleep(pause)
        assert front.send(get("/"), 42)[0] == 200


@pytest.mark.parametrize("front", ["nginx", "caddy", "caddy of compose.yaml"], indirect=True)
def test_the_largest_attachments_pass_and_larger_bodies_do_not(front: Front) -> None:
    """A form has at most two files. The web server behind the proxies accepts more here, so that the proxy refuses.

    Caddy passes a body on while it reads it, and answers 502 when it is too large; nginx answers 413.
    """
    for size, passes in ((ATTACHMENT, True), (2 * ATTACHMENT + 65_536, True), (2 * ATTACHMENT + (2 << 20), False)):
        head = f"POST /documents HTTP/1.1\r\nHost: threada.example.org\r\nContent-Length: {size}\r\n"
        with front.connect(42) as connection:
            connection.sendall(f"{head}Connection: close\r\n\r\n".encode())
            with suppress(OSError):  # a proxy that refuses the body may close before it has all of it
                connection.sendall(bytes(size))
            answer = http.client.HTTPResponse(connection)
            answer.begin()
            assert answer.status in ((200,) if passes else (413, 502)), size
            if passes:
                assert answer.read().split()[:3] == [b"POST", b"/documents", str(size).encode()]
