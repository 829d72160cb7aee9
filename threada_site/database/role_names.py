"""Names of the PostgreSQL roles. Pure, because the sealer runs without Django."""

from __future__ import annotations

from typing import Final

OWNER: Final = "threada_owner"
PLATFORM: Final = "threada_platform"
APP: Final = "threada_app"
"""The login of the web, or of all processes where the others have no own."""
PLATFORM_LOGIN: Final = "threada_platform_login"
"""The login of all processes but the web. It has the table grants of APP and may take both roles."""
PLATFORM_GATE: Final = "threada_platform_gate"
"""Role between that login and the two roles it may take, which stops inheritance."""
ROLES: Final = {
    OWNER: "NOLOGIN CREATEDB",
    PLATFORM: "NOLOGIN",
    APP: "LOGIN NOINHERIT",
    PLATFORM_GATE: "NOLOGIN NOINHERIT",
    PLATFORM_LOGIN: "LOGIN INHERIT",
}
"""Role → its options, in the order of creation."""
MEMBERSHIPS: Final = (
    f"GRANT {OWNER}, {PLATFORM} TO {PLATFORM_GATE}",
    f"GRANT {APP}, {PLATFORM_GATE} TO {PLATFORM_LOGIN}",
)
WEB_STATEMENT_MS: Final = 15_000
"""Milliseconds after which PostgreSQL ends a statement of the web."""
LIMIT_OF_WEB: Final = f"ALTER ROLE {APP} SET statement_timeout = {WEB_STATEMENT_MS}"
"""For a server where the web has a login of its own. A connection without the option of the settings has it too."""
