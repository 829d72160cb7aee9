"""The WSGI environment of a request that arrived over RSGI."""

from __future__ import annotations

import sys
from typing import Any, Final

from threada_site.runtime.web.addresses import Client

_BASE: Final = {
    "GATEWAY_INTERFACE": "CGI/1.1",
    "SCRIPT_NAME": "",
    "SERVER_SOFTWARE": "Granian",
    "wsgi.errors": sys.stderr,
    "wsgi.input_terminated": True,  # the server marks the end of a body without a declared length
    "wsgi.multiprocess": True,
    "wsgi.multithread": True,
    "wsgi.run_once": False,
    "wsgi.version": (1, 0),
}
_PROTOCOLS: Final = {"1": "HTTP/1", "1.1": "HTTP/1.1"}
_NAMES: dict[str, str] = {}
_MOST_NAMES: Final = 500
_FORWARDED: Final = ("HTTP_X_FORWARDED_FOR", "HTTP_X_FORWARDED_PROTO", "HTTP_X_FORWARDED_HOST", "HTTP_X_FORWARDED_PORT")


def wsgi_environ(scope: Any, client: Client, *, keeps_forwarded: bool) -> dict[str, Any]:
    """Return the environment without `wsgi.input`.

    Header names that contain `_` are dropped, because they would be taken for the name with `-`. `keeps_forwarded`:
    False if the connection is not one of a trusted proxy although there is one.
    """
    host, _, port = scope.server.rpartition(":")
    environ = {
        **_BASE,
        "SERVER_PROTOCOL": _PROTOCOLS.get(scope.http_version, "HTTP/1.1"),
        "SERVER_NAME": host.strip("[]"),
        "SERVER_PORT": port,
        "REMOTE_ADDR": client.address,
        "threada.client": client.key if client.is_limited else "",
        "REQUEST_METHOD": scope.method.upper(),  # as Django reads it, so that both see the same method
        "PATH_INFO": scope.path.encode().decode("latin-1"),
        "QUERY_STRING": scope.query_string,
        "wsgi.url_scheme": scope.scheme,
    }
    headers = scope.headers
    pairs = headers.items()
    for name, value in pairs:
        key = _NAMES.get(name) or _key(name)
        if key in environ:
            environ[key] += (";" if key == "HTTP_COOKIE" else ",") + value
        elif key:
            environ[key] = value
    if len({name for name, _ in pairs}) < len(headers):
        # A value that is not ASCII counts as empty: without it, the header would seem not to have been sent.
        for name in headers.keys():  # noqa: SIM118  (not a mapping)
            environ.setdefault(_key(name) or "HTTP_X_IGNORED", "")
    if "HTTP_HOST" not in environ:
        environ["HTTP_HOST"] = scope.authority or ""
    if "HTTP_X_FORWARDED_FOR" in environ:
        environ["HTTP_X_FORWARDED_FOR"] = client.address  # without what clients invented and proxies added
    if not keeps_forwarded:
        for key in _FORWARDED:
            environ.pop(key, None)
    return environ


def _key(name: str) -> str:
    """Return the key of a header, or "" if the header must be ignored."""
    if "_" in name:
        return ""
    key = name.upper().replace("-", "_")
    if name not in ("content-type", "content-length"):
        key = f"HTTP_{key}"
    if len(_NAMES) < _MOST_NAMES:
        _NAMES[name] = key
    return key
