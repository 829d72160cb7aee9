"""What the roles are called in PostgreSQL. Pure: the sealer runs without Django."""

from __future__ import annotations

from typing import Final

OWNER: Final = "threada_owner"
PLATFORM: Final = "threada_platform"
APP: Final = "threada_app"
"""The login: of all processes, or of the web alone where the others have one of their own."""
PLATFORM_LOGIN: Final = "threada_platform_login"
PLATFORM_GATE: Final = "threada_platform_gate"
"""Between that login and the two roles it may take: what it inherits ends here."""
