"""Environment variables, and keys that are created once and stored in the data directory. Imports no Django."""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import sys
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

BASE_DIR = Path(__file__).resolve().parents[1]
IS_INSTALLED = (BASE_DIR / "threada_site" / "templates").is_dir()
"""True in an installed wheel, which carries the templates inside the package; False in a checkout."""
TEMPLATE_DIR = (BASE_DIR / "threada_site" if IS_INSTALLED else BASE_DIR) / "templates"


def program(*words: str) -> list[str]:
    """Return the command line of a management command in a process of its own."""
    start = ["-m", "threada_site.command_line"] if IS_INSTALLED else [str(BASE_DIR / "manage.py")]
    return [sys.executable, *start, *words]


def name_process(command: str) -> None:
    """Name this process `threada-COMMAND` in lists of processes. Linux keeps 15 characters."""
    with contextlib.suppress(OSError):
        Path("/proc/self/comm").write_text(f"threada-{command}")


def text(name: str, default: str = "") -> str:
    return os.environ.get(name, default).strip()


def words(name: str, default: str = "") -> list[str]:
    """Return a list separated by commas or white space."""
    return text(name, default).replace(",", " ").split()


def number(name: str, default: int) -> int:
    value = text(name)
    if not value:
        return default
    try:
        return int(value)
    except ValueError:
        raise SystemExit(f"{name} must be a whole number, not {value!r}.") from None


def numbers(name: str, defaults: dict[str, int], *, least: int = 1) -> dict[str, int]:
    """Return numbers by name from text like `low=50 high=5`. Missing names keep their default."""
    found = dict(defaults)
    for word in words(name):
        key, _, value = word.partition("=")
        if key not in defaults or not value.isascii() or not value.isdigit() or int(value) < least:
            raise SystemExit(
                f"{name} says whole numbers from {least} for {', '.join(defaults)}, e.g. {key or 'low'}=5."
            )
        found[key] = int(value)
    return found


def flag(name: str, *, default: bool = False) -> bool:
    value = text(name).lower()
    if value in ("", "1", "true", "yes", "on", "0", "false", "no", "off"):
        return default if not value else value in ("1", "true", "yes", "on")
    raise SystemExit(f"{name} must be true or false, not {value!r}.")


def mail_server(name: str) -> dict[str, Any] | None:
    """Return options of Django's SMTP backend for an SMTP URL; None if the variable is empty.

    The URL is `smtp://`, `smtps://` or `smtp+starttls://[user:password@]host[:port]`.
    """
    url = text(name)
    if not url:
        return None
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        host, port, parts = None, None, urlsplit("")
    ports = {"smtp": 25, "smtps": 465, "smtp+starttls": 587}
    if not host or parts.scheme not in ports:
        raise SystemExit(f"{name} must be smtp://, smtps:// or smtp+starttls://[user:password@]host[:port].")
    return {
        "host": host,
        "port": port or ports[parts.scheme],
        "username": unquote(parts.username or ""),
        "password": unquote(parts.password or ""),
        "use_ssl": parts.scheme == "smtps",
        "use_tls": parts.scheme == "smtp+starttls",
        "timeout": 20,
    }


def is_web() -> bool:
    """Return True if this process answers requests. `manage.py web`, `threada_site.wsgi` and `.asgi` mark theirs."""
    return text("THREADA_PROCESS") == "web"


def database_url() -> str:
    """Return the login of this process: `THREADA_PLATFORM_DATABASE_URL`, if set, except for the web."""
    return ("" if is_web() else postgresql_url("THREADA_PLATFORM_DATABASE_URL")) or postgresql_url("DATABASE_URL")


def postgresql_url(name: str) -> str:
    """Return the address of a PostgreSQL server in this variable. End the process if it is no such address.

    libpq's keywords (`host=… dbname=…`) are accepted too. The message contains no password.
    """
    url = text(name)
    form = f"{name} must be postgresql://user:password@host:5432/database"
    scheme, separator, _ = url.partition("://")
    if separator and scheme not in ("postgresql", "postgres"):
        raise SystemExit(f"{form}, not an address that begins with {scheme}://. Threada needs PostgreSQL 15 or newer.")
    if url and not separator and "=" not in url:
        raise SystemExit(f"{form}. It has no scheme.")
    if separator:
        try:
            # Several hosts are separated by commas, each with a port of its own.
            for place in urlsplit(url).netloc.rpartition("@")[2].split(","):
                _ = urlsplit(f"//{place}").port
        except ValueError:
            raise SystemExit(
                f"{form}. Its host or port cannot be read; in a password, write @ as %40, / as %2F, # as %23."
            ) from None
    return url


def default_data_dir() -> Path:
    """Return `.threada` of a checkout. An installed wheel stores its data where the system stores that of programs."""
    if not IS_INSTALLED:
        return BASE_DIR / ".threada"
    if os.geteuid() == 0:
        return Path("/var/lib/threada/instance")
    return Path(text("XDG_DATA_HOME") or Path.home() / ".local" / "share") / "threada"


DATA_DIR = Path(text("THREADA_DATA_DIR") or default_data_dir()).absolute()


def key(name: str) -> str:
    """Return the key `THREADA_<NAME>` or the one in `<data dir>/keys/<name>`, created on first use."""
    return text(f"THREADA_{name.upper()}") or key_file(name).read_text().strip()


def keys(name: str) -> list[str]:
    """Return all keys of this name, separated by white space: the first one is used, all are accepted."""
    return list(dict.fromkeys(key(name).split()))


def key_file(name: str) -> Path:
    """Return the path `<data dir>/keys/<name>` of a key, created on first use.

    The file has mode 0600 and is created atomically, also when several processes start at once.
    """
    path = DATA_DIR / "keys" / name
    if path.exists():
        return path
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as error:
        raise SystemExit(_key_problem(path, error)) from None
    temporary = path.with_name(f".{name}.{os.getpid()}")
    try:
        with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(secrets.token_urlsafe(48) + "\n")
        os.link(temporary, path)
    except FileExistsError:
        pass
    except OSError as error:
        raise SystemExit(_key_problem(path, error)) from None
    finally:
        temporary.unlink(missing_ok=True)
    return path


def _key_problem(path: Path, error: OSError) -> str:
    if error.errno == errno.ENOSPC:
        return f"The key {path} cannot be written: the disk is full. Free space, then try again."
    return f"The key {path} cannot be written: {error.strerror}. Let this user write there, or set THREADA_DATA_DIR."
