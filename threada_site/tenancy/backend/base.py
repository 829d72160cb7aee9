from __future__ import annotations

from pathlib import Path
from typing import Any

from django.db.backends.postgresql import base

from threada_site.tenancy.backend.creation import DatabaseCreation


class DatabaseWrapper(base.DatabaseWrapper):
    """Starts the embedded server the first time somebody asks where it listens.

    `DATABASES["default"]["EMBEDDED_ROOT"]` names the data directory of the embedded server; without it this is
    Django's own backend.
    """

    creation_class = DatabaseCreation

    def get_connection_params(self) -> dict[str, Any]:
        root = self.settings_dict.get("EMBEDDED_ROOT")
        if root:
            from threada_site.tenancy.bootstrap import ensure_embedded_database

            address = ensure_embedded_database(Path(root))
            self.settings_dict["HOST"] = address.host
            self.settings_dict["PORT"] = str(address.port)
        return super().get_connection_params()
