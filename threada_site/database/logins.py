"""Two logins: the web's, which may take no role, and the platform's, for all other commands of `manage.py`.

They are created by a psql script, so that the administrator of the server can read it before running it.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
from typing import Final
from urllib.parse import quote

import psycopg

from threada_site.database.role_names import APP, LIMIT_OF_WEB, MEMBERSHIPS, OWNER, PLATFORM, PLATFORM_LOGIN, ROLES

_ITERATIONS: Final = 4096


def logins_script(*, database: str, verifiers: dict[str, str], takes_memberships: bool = True) -> str:
    """Return the script, for psql and a superuser, in any database of the server. It may be run again.

    `verifiers`: password verifiers of the two logins; a login without one keeps its password. `takes_memberships`:
    revoke the roles that the web's login has where it is the only login.
    """
    lines = [
        "\\set ON_ERROR_STOP on",
        *(_role(name, options) for name, options in ROLES.items()),
        *(f"{grant};" for grant in MEMBERSHIPS),
    ]
    for login in (APP, PLATFORM_LOGIN):
        lines.append(f"ALTER ROLE {login} SET random_page_cost = 1.1;")
        if login in verifiers:
            lines.append(f"ALTER ROLE {login} PASSWORD '{verifiers[login]}';")
    if takes_memberships:
        lines += [f"REVOKE {OWNER}, {PLATFORM} FROM {APP};", f"{LIMIT_OF_WEB};"]
    name = '"' + database.replace('"', '""') + '"'
    text = "'" + database.replace("'", "''") + "'"
    lines += [
        _unless_found(
            f"format('CREATE DATABASE %I OWNER {OWNER}', {text})", f"SELECT FROM pg_database WHERE datname = {text}"
        ),
        f"GRANT ALL ON DATABASE {name} TO {OWNER};",
        f"\\connect {name}",
        f"GRANT USAGE, CREATE ON SCHEMA public TO {OWNER};",
    ]
    return "\n".join(lines) + "\n"


def new_passwords() -> dict[str, str]:
    """Return a new password for each of the two logins."""
    return {login: secrets.token_urlsafe(24) for login in (APP, PLATFORM_LOGIN)}


def login_at(login: str, password: str, *, host: str, port: int, database: str) -> str:
    """Return the URL that a process connects with."""
    place = f"[{host}]" if ":" in host else host
    return f"postgresql://{login}:{quote(password, safe='')}@{place}:{port}/{quote(database, safe='')}"


def roles_in_reach(url: str) -> list[str]:
    """Return which of the two roles that see all tenants the login in `url` may take."""
    with psycopg.connect(url) as connection:
        rows = connection.execute(
            "SELECT rolname FROM pg_roles WHERE rolname = ANY(%s) AND pg_has_role(current_user, oid, 'MEMBER') "
            "ORDER BY rolname",
            [[OWNER, PLATFORM]],
        ).fetchall()
    return [name for (name,) in rows]


def scram_verifier(password: str, *, salt: bytes | None = None) -> str:
    """Return the verifier that PostgreSQL stores for a password (RFC 5803), so that no statement or log contains the
    password."""
    salt = secrets.token_bytes(16) if salt is None else salt
    salted = hashlib.pbkdf2_hmac("sha256", password.encode(), salt, _ITERATIONS)
    stored = hashlib.sha256(hmac.digest(salted, b"Client Key", "sha256")).digest()
    server = hmac.digest(salted, b"Server Key", "sha256")
    return f"SCRAM-SHA-256${_ITERATIONS}:{_base64(salt)}${_base64(stored)}:{_base64(server)}"


def _role(name: str, options: str) -> str:
    return _unless_found(f"'CREATE ROLE {name} {options}'", f"SELECT FROM pg_roles WHERE rolname = '{name}'")


def _unless_found(statement: str, found: str) -> str:
    return f"SELECT {statement} WHERE NOT EXISTS ({found}) \\gexec"


def _base64(value: bytes) -> str:
    return base64.b64encode(value).decode()
