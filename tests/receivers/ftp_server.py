"""FTP server on loopback in its own process: `python -m tests.receivers.ftp_server FOLDER CONTROL_FILE [PORT]`.

Prints its port on one line. The user is `archivist` with the password `PASSWORD`. CONTROL_FILE, which is read for
every file, contains JSON: `corrupt` (changes a byte of each received file), `full` (refuses files, like a full disk).
Each rename is appended to `renames` next to the control file.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from pyftpdlib.authorizers import DummyAuthorizer
from pyftpdlib.handlers import FTPHandler
from pyftpdlib.log import config_logging
from pyftpdlib.servers import FTPServer

USER = "archivist"
PASSWORD = "correct-horse-of-the-archive"


class Handler(FTPHandler):
    control: Path

    def told(self) -> dict[str, Any]:
        return json.loads(self.control.read_text()) if self.control.exists() else {}

    def ftp_STOR(self, file: str, mode: str = "w") -> str | None:  # noqa: N802
        if self.told().get("full"):
            self.respond(f"552 No space for {PASSWORD}.")
            return None
        return super().ftp_STOR(file, mode)

    def ftp_RNTO(self, path: str) -> Any:  # noqa: N802
        with (self.control.parent / "renames").open("a") as log:
            log.write(f"{Path(path).name}\n")
        return super().ftp_RNTO(path)

    def on_file_received(self, file: str) -> None:
        if self.told().get("corrupt"):
            path = Path(file)
            data = bytearray(path.read_bytes())
            data[len(data) // 2] ^= 1
            path.write_bytes(data)


def main() -> None:
    folder, Handler.control = sys.argv[1], Path(sys.argv[2])
    config_logging(level=50)
    Handler.authorizer = DummyAuthorizer()
    Handler.authorizer.add_user(USER, PASSWORD, folder, perm="elradfmwMT")
    server = FTPServer(("127.0.0.1", int(sys.argv[3]) if len(sys.argv) > 3 else 0), Handler)
    print(server.socket.getsockname()[1], flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
