"""Proxy on loopback that passes requests on and breaks the answers.

`python -m tests.receivers.fault_proxy CONTROL_FILE RECEIVER_PORT` prints its port on one line. CONTROL_FILE is the
one of `http_receiver`: the longest path prefix selects the treatment of the answer (`fault`, `status`, `delay_s`) for
the first `times` requests; later answers are passed on unchanged.
"""

from __future__ import annotations

import contextlib
import http.client
import sys
import time
from pathlib import Path

from tests.receivers.http_receiver import FAULTS, Handler, Server


class Proxy(Handler):
    receiver_port: int

    def answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        upstream = http.client.HTTPConnection("127.0.0.1", self.receiver_port, timeout=30)
        upstream.request(self.command, self.path, body, dict(self.headers.items()))
        answer = upstream.getresponse()
        given = {"status": answer.status, "body": answer.read().decode()}
        upstream.close()
        told = self._behaviour()
        time.sleep(told.get("delay_s", 0))
        with contextlib.suppress(OSError):
            fault = told.get("fault")
            FAULTS[fault](self, {**given, **told}) if fault else self._send({**given, **told})

    do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = answer  # noqa: N815 - names of the base class


def main() -> None:
    Proxy.control_file, Proxy.receiver_port = Path(sys.argv[1]), int(sys.argv[2])
    server = Server(("127.0.0.1", 0), Proxy)
    print(server.server_address[1], flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
