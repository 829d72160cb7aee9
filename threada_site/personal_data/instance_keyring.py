"""The keyring of the instance, for secrets at rest."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

from django.conf import settings

from threada_site.kernel.keyring import Keyring, file_source, keys_in


def keyring() -> Keyring:
    """Return the keyring of the instance."""
    return _keyring(settings.THREADA_SECRETS_KEY, settings.THREADA_SECRETS_KEY_FILE)


@lru_cache(maxsize=4)
def _keyring(given: str, file: str) -> Keyring:
    if given:
        keys = keys_in(given)
        return Keyring(lambda: ("environment", keys))
    return Keyring(file_source(Path(file)))
