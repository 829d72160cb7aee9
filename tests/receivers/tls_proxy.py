"""A proxy that ends TLS in front of a web process, as operators run one. It serves 127.0.0.1 in threads."""

from __future__ import annotations

import http.client
import ssl
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from tests.receivers.saml_provider import certificate_of, key_of


@contextmanager
def tls_proxy(port: int, backend: int, folder: Path) -> Iterator[None]:
    """Serve https on `port` with a self-signed certificate, and forward to http on `backend`."""
    key = key_of("tls")
    pem = folder / "tls.pem"
    pem.write_bytes(
        key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        + certificate_of(key).public_bytes(Encoding.PEM)
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem)

    class Handler(BaseHTTPRequestHandler):
        def forward(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            with closing(http.client.HTTPConnection("127.0.0.1", backend, timeout=30)) as connection:
                headers = {name: value for name, value in self.headers.items() if name.lower() != "connection"}
                sender = {"X-Forwarded-Proto": "https", "X-Forwarded-For": self.client_address[0]}
                connection.request(self.command, self.path, body, {**headers, **sender})
                answer = connection.getresponse()
                content = answer.read()
                self.send_response(answer.status)
                for name, value in answer.getheaders():
                    if name.lower() not in ("transfer-encoding", "connection", "content-length"):
                        self.send_header(name, value)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

        do_GET = do_POST = do_HEAD = forward  # noqa: N815 - names of the base class

        def log_message(self, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
