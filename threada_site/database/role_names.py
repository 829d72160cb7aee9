"""Names of the PostgreSQL roles. Pure, because the sealer runs without Django."""

from __future__ import annotations

from typing import Final

OWNER: Final = "threada_owner"
PLATFORM: Final = "threada_platform"
APP: Final = "threada_app"
"""The login of all processes, or only of the web if the others have their own."""
PLATFORM_LOGIN: Final = "threada_platform_login"
PLATFORM_GATE: Final = "threada_platform_gate"
"""Role between that login and the two roles it may take, which stops inheritance."""
