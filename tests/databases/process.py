"""The test databases of this process: an empty one, one for tests that commit, and one for each prepared content."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import pytest
from django.conf import settings
from django.db import DEFAULT_DB_ALIAS, connection

from tests.databases.contents import CONTENTS, Values
from tests.databases.emptying import Emptying
from tests.databases.template import drop, make_copy

COMMITTED: Final = "committed"
"""The database of tests that commit: no other test meets what they leave or what emptying it takes."""


class Databases:
    """Databases that this process made, and the one that Django is connected to.

    A prepared content is built once and committed in a database of its own. Each test on it begins and rolls back a
    transaction, as on the empty database.
    """

    def __init__(self, folder: Path, *, fresh: bool = False) -> None:
        self._folder = folder
        self._base = str(connection.settings_dict["TEST"]["NAME"])
        self._product = connection.settings_dict["NAME"]
        self._values: dict[str, Values] = {"": {}}
        self._broken: dict[str, Exception] = {}
        self._current: str | None = ""
        self.emptying = Emptying()
        make_copy(self._base, fresh=fresh)
        self._connect_to(self._base)

    def enter(self, content: str) -> Values:
        """Connect Django to the database of `content` ("" is the empty one). Return the values of its fixtures."""
        if content in self._broken:
            raise RuntimeError(f"The content {content} could not be built") from self._broken[content]
        if content != self._current:
            self._current = None  # if this fails, nobody takes the database for the one from before
            if content not in self._values:
                self._values[content] = self._build(content)
            else:
                self._connect_to(self._name_of(content))
            self._current = content
        return self._values[content]

    def end(self) -> None:
        """Drop all of them."""
        self._connect_to(self._product)
        self.emptying.end()
        for content in (*self._values, *self._broken):
            drop(self._name_of(content))

    def _build(self, content: str) -> Values:
        """Make the database of `content` and connect Django to it. Keep the error if that fails: it is not repeated."""
        try:
            make_copy(self._name_of(content))
            self._connect_to(self._name_of(content))
            connection.threada_tenant = connection.threada_visibility = None
            folder = self._folder / content
            folder.mkdir()
            return CONTENTS[content](folder) if content in CONTENTS else {}
        except Exception as error:
            self._broken[content] = error
            raise

    def _name_of(self, content: str) -> str:
        return f"{self._base}_{content}" if content else self._base

    def _connect_to(self, name: str) -> None:
        connection.close()
        connection.close_pool()
        settings.DATABASES[DEFAULT_DB_ALIAS]["NAME"] = name
        connection.settings_dict["NAME"] = name


def uses_database(item: pytest.Item) -> bool:
    """Return True if the test may use the database."""
    return item.get_closest_marker("django_db") is not None or not {"db", "transactional_db"}.isdisjoint(
        _fixtures(item)
    )


def is_transactional(item: pytest.Item) -> bool:
    """Return True if the test commits, so that its rows have to be deleted afterwards."""
    marker = item.get_closest_marker("django_db")
    return bool(marker and marker.kwargs.get("transaction")) or "transactional_db" in _fixtures(item)


def content_of(item: pytest.Item) -> str:
    """Return the content that a test begins with: that of the first of its fixtures that has one, or "" for none."""
    if is_transactional(item):
        return COMMITTED
    return next((name for name in CONTENTS if name in _fixtures(item)), "")


def _fixtures(item: pytest.Item) -> list[str]:
    return getattr(item, "fixturenames", [])
