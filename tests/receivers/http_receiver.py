"""A receiver of HTTP requests in its own process: `python http_receiver.py LOG_FILE CONTROL_FILE [--tls PEM] [--host H]`.
With `--clients PEM` it demands client certificates of this authority.

Prints its port on one line, then serves on 127.0.0.1 (or H) until it is killed. Standard library only.

Every request is appended to LOG_FILE as one JSON line, before it is answered:
`{"method", "path", "headers" (names lower-case), "body" (text), "effect" (bool), "at" (seconds since the epoch),
"from" (the caller's address), "subject" (of the client certificate, or null)}`.
`effect` says whether a receiver would have acted: False for a repeated Idempotency-Key where `dedupe` is on.

CONTROL_FILE, which is read for every request, contains JSON: a mapping of path prefix to behaviour, `*` for the rest. The
longest prefix wins. Without one, a request is answered with 200 and `{"ok": true}`. A behaviour may hold
* `status`, `headers` (mapping), `body` (any JSON value, or a string sent as it stands), `content_type`
* `delay_s`: wait before the answer
* `fault`: `reset` (RST without an answer), `close` (FIN without an answer), `reset_mid_body`, `truncated` (JSON cut
  off, the length fits), `short` (fewer bytes than Content-Length says), `drip` (a byte each `drip_s`, 0.1 unless told),
  `drip_head`, `huge` (`size` bytes, 10 GB unless told), `huge_chunked`, `endless_head`, `endless_continue`, `gzip_bomb`
  (`size` bytes decompressed, 1 GB unless told), `gzip` (the body, compressed), `not_http`, `switch` (101)
* `dedupe`: the first answer for an Idempotency-Key is given again for every repetition
* `times`: the behaviour holds for so many requests (of that path prefix), afterwards the request is answered with 200
"""

from __future__ import annotations

import contextlib
import gzip
import json
import socket
import ssl
import struct
import sys
import threading
import time
import zlib
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Final

BLOCK: Final = b"x" * 65536
_lock = threading.Lock()
_answered: dict[str, dict[str, Any]] = {}
_count: dict[str, int] = {}


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    log_file: Path
    control_file: Path

    def answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        behaviour = self._behaviour()
        key = self.headers.get("Idempotency-Key")
        with _lock:
            repeated = bool(behaviour.get("dedupe") and key in _answered)
            if key and behaviour.get("dedupe"):
                behaviour = {**behaviour, **_answered.setdefault(key, _plain(behaviour))}
            entry = {
                "method": self.command,
                "path": self.path,
                "headers": {name.lower(): value for name, value in self.headers.items()},
                "body": self.text_of(body),
                "effect": not repeated,
                "at": time.time(),
                "from": self.client_address[0],
                "subject": self._subject(),
            }
            with self.log_file.open("a", encoding="utf-8") as log:
                log.write(json.dumps(entry) + "\n")
        time.sleep(behaviour.get("delay_s", 0))
        with contextlib.suppress(OSError):
            fault = behaviour.get("fault")
            FAULTS[fault](self, behaviour) if fault else self._send(behaviour)

    do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = answer  # noqa: N815 - names of the base class

    def do_RESET(self) -> None:
        """Forget the requests so far, for the next test."""
        with _lock:
            _answered.clear()
            _count.clear()
            self.log_file.unlink(missing_ok=True)
        self.send_response(204)
        self.end_headers()

    def text_of(self, body: bytes) -> str:
        """Return the body as it is logged."""
        return body.decode("utf-8", "replace")

    def _subject(self) -> str | None:
        connection = self.connection
        presented: Any = connection.getpeercert() if isinstance(connection, ssl.SSLSocket) else None
        return presented["subject"][0][0][1] if presented else None

    def _behaviour(self) -> dict[str, Any]:
        try:
            control = json.loads(self.control_file.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            control = {}
        matching = [prefix for prefix in control if self.path.startswith(prefix)]
        prefix = max(matching, key=len, default="*")
        behaviour: dict[str, Any] = control.get(prefix, {})
        with _lock:
            _count[prefix] = _count.get(prefix, 0) + 1
            used_up = _count[prefix] > behaviour.get("times", _count[prefix])
        return {"dedupe": behaviour.get("dedupe", False)} if used_up else behaviour

    def _send(self, behaviour: dict[str, Any], payload: bytes | None = None, length: int | None = None) -> None:
        payload = _payload(behaviour) if payload is None else payload
        self.send_response(behaviour.get("status", 200))
        self.send_header("Content-Type", behaviour.get("content_type", "application/json"))
        self.send_header("Content-Length", str(len(payload) if length is None else length))
        for name, value in behaviour.get("headers", {}).items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(payload)

    def log_message(self, *arguments: Any) -> None:
        """Log nothing to stderr."""


def _plain(behaviour: dict[str, Any]) -> dict[str, Any]:
    return {"status": behaviour.get("status", 200), "body": behaviour.get("body", {"ok": True})}


def _payload(behaviour: dict[str, Any]) -> bytes:
    body = behaviour.get("body", {"ok": True})
    return body.encode() if isinstance(body, str) else json.dumps(body).encode()


def _reset(handler: Handler, behaviour: dict[str, Any]) -> None:
    handler.close_connection = True
    handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    handler.connection.close()


def _close(handler: Handler, behaviour: dict[str, Any]) -> None:
    handler.close_connection = True
    handler.connection.shutdown(socket.SHUT_RDWR)


def _reset_mid_body(handler: Handler, behaviour: dict[str, Any]) -> None:
    payload = _payload(behaviour)
    handler._send(behaviour, payload[: len(payload) // 2], len(payload))
    handler.wfile.flush()
    time.sleep(0.05)
    _reset(handler, behaviour)


def _truncated(handler: Handler, behaviour: dict[str, Any]) -> None:
    handler._send(behaviour, _payload(behaviour)[:-2])


def _short(handler: Handler, behaviour: dict[str, Any]) -> None:
    payload = _payload(behaviour)
    handler._send(behaviour, payload, len(payload) + 10)
    _close(handler, behaviour)


def _drip(handler: Handler, behaviour: dict[str, Any]) -> None:
    handler._send(behaviour, b"", 10_000)
    while True:
        handler.wfile.write(b" ")
        time.sleep(behaviour.get("drip_s", 0.1))


def _drip_head(handler: Handler, behaviour: dict[str, Any]) -> None:
    handler.wfile.write(b"HTTP/1.1 200 OK\r\nX-Slow: ")
    while True:
        handler.wfile.write(b"a")
        time.sleep(behaviour.get("drip_s", 0.1))


def _huge(handler: Handler, behaviour: dict[str, Any]) -> None:
    size = behaviour.get("size", 10 * 2**30)
    handler._send(behaviour, b"", size)
    for _ in range(size // len(BLOCK)):
        handler.wfile.write(BLOCK)


def _huge_chunked(handler: Handler, behaviour: dict[str, Any]) -> None:
    handler.wfile.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    while True:
        handler.wfile.write(b"1\r\nx\r\n" * 1000)


def _endless_head(handler: Handler, behaviour: dict[str, Any]) -> None:
    handler.wfile.write(b"HTTP/1.1 200 OK\r\n")
    while True:
        handler.wfile.write(b"X-More: " + BLOCK[:1000] + b"\r\n")


def _endless_continue(handler: Handler, behaviour: dict[str, Any]) -> None:
    while True:
        handler.wfile.write(b"HTTP/1.1 100 Continue\r\n\r\n" * 100)


def _gzip_bomb(handler: Handler, behaviour: dict[str, Any]) -> None:
    packer = zlib.compressobj(9, zlib.DEFLATED, zlib.MAX_WBITS | 16)
    blocks = behaviour.get("size", 2**30) // len(BLOCK)
    payload = b"".join(packer.compress(BLOCK) for _ in range(blocks)) + packer.flush()
    handler._send({**behaviour, "headers": {"Content-Encoding": "gzip"}}, payload)


def _gzip(handler: Handler, behaviour: dict[str, Any]) -> None:
    payload = gzip.compress(_payload(behaviour))
    handler._send({**behaviour, "headers": {"Content-Encoding": "gzip"}}, payload)


def _not_http(handler: Handler, behaviour: dict[str, Any]) -> None:
    handler.wfile.write(b"+OK POP3 ready\r\n")
    _close(handler, behaviour)


def _switch(handler: Handler, behaviour: dict[str, Any]) -> None:
    handler.wfile.write(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n")
    handler.close_connection = True


FAULTS: Final = {
    "reset": _reset,
    "close": _close,
    "reset_mid_body": _reset_mid_body,
    "truncated": _truncated,
    "short": _short,
    "drip": _drip,
    "drip_head": _drip_head,
    "huge": _huge,
    "huge_chunked": _huge_chunked,
    "endless_head": _endless_head,
    "endless_continue": _endless_continue,
    "gzip_bomb": _gzip_bomb,
    "gzip": _gzip,
    "not_http": _not_http,
    "switch": _switch,
}


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 256

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Ignore clients that disconnect."""


def main(handler: type[Handler] = Handler) -> None:
    handler.log_file, handler.control_file = Path(sys.argv[1]), Path(sys.argv[2])
    host = sys.argv[sys.argv.index("--host") + 1] if "--host" in sys.argv else "127.0.0.1"
    server = Server((host, 0), handler)
    if "--tls" in sys.argv:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(sys.argv[sys.argv.index("--tls") + 1])
        if "--clients" in sys.argv:
            context.verify_mode = ssl.CERT_REQUIRED
            context.load_verify_locations(sys.argv[sys.argv.index("--clients") + 1])
        server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    print(server.server_address[1], flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
