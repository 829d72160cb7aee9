"""What the three roles are called in PostgreSQL. Pure: the sealer runs without Django."""

from __future__ import annotations

from typing import Final

OWNER: Final = "threada_owner"
PLATFORM: Final = "threada_platform"
APP: Final = "threada_app"
