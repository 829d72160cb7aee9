"""A running server as seen by its clients."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote, urlencode


@dataclass(frozen=True)
class Cluster:
    """A server that answered at the moment it was looked up; it may stop at any time.

    `superuser` is a database role. The roles that the product logs in with are decided elsewhere.
    """

    data_dir: Path
    socket_dir: Path
    port: int
    pid: int
    superuser: str

    def url(self, *, user: str, dbname: str, password: str = "") -> str:
        """Return a libpq URL over the Unix socket, for psycopg, psql and pg_dump."""
        where = urlencode({"host": str(self.socket_dir), "port": self.port})
        login = quote(user, safe="") + (f":{quote(password, safe='')}" if password else "")
        return f"postgresql://{login}@/{quote(dbname, safe='')}?{where}"

    def conninfo(self, *, user: str, dbname: str) -> dict[str, str | int]:
        """Return the same address as libpq keywords: `host` (the socket's directory), `port`, `user`, `dbname`."""
        return {"host": str(self.socket_dir), "port": self.port, "user": user, "dbname": dbname}
