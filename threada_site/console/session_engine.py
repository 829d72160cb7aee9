"""Django session engine: keys are stored as digests, and sessions end after an idle and an absolute limit."""

from __future__ import annotations

import hashlib
import uuid
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import psycopg
from django.conf import settings
from django.contrib.auth import SESSION_KEY as USER_KEY
from django.contrib.sessions.backends.base import CreateError, SessionBase, UpdateError
from django.contrib.sessions.middleware import SessionMiddleware
from django.db import DatabaseError, IntegrityError, transaction
from django.http import HttpRequest

from threada_site.admin.background import is_in_background
from threada_site.identity.console_sessions.limits import expire_sessions, open_sessions
from threada_site.identity.console_sessions.provider_sessions import LINK_KEY
from threada_site.kernel import clock
from threada_site.kernel.factors import session_factors
from threada_site.kernel.source import Source, source_of
from threada_site.tenancy.models import ConsoleSession

SIGNED_IN_AT: Final = "signed_in_at"
"""Key of the time of the sign-in in the data of a session, in seconds since 1970."""
ACTING_TENANT: Final = "tenant_id"
"""Key of the id of the chosen tenant in the data of a session."""
NOTED_EVERY: Final = timedelta(minutes=1)


class SessionStore(SessionBase):
    """Session in the table `ConsoleSession`.

    The data are signed together with the key, so they are not valid in the row of another session.
    """

    def __init__(self, session_key: str | None = None, source: Source | None = None) -> None:
        super().__init__(session_key)
        self.source = source
        self.row_id: uuid.UUID | None = None
        self.is_in_background = False

    @property
    def key_salt(self) -> str:
        return f"threada.session.{_digest(self.session_key).hex()}"

    def exists(self, session_key: str) -> bool:
        return ConsoleSession.objects.filter(key_sha256=_digest(session_key)).exists()

    def load(self) -> dict[str, Any]:
        """Return the data of the session; {} if it does not exist or has ended."""
        now = clock.now()
        rows = open_sessions(now).filter(key_sha256=_digest(self.session_key))
        found = rows.values_list("id", "data", "last_used_at").first()
        if found is None:
            self._session_key = None
            return {}
        self.row_id, data, last_used_at = found
        if not self.is_in_background and now - last_used_at >= NOTED_EVERY:
            self._note_use(self.row_id, now)
        return dict(self.decode(data))

    def create(self) -> None:
        while True:
            self._session_key = self._get_new_session_key()  # type: ignore[attr-defined]
            try:
                self.save(must_create=True)
            except CreateError:  # another session has this key
                continue
            self.modified = True
            return

    def save(self, must_create: bool = False) -> None:  # noqa: FBT001, FBT002 - Django's signature
        """Store the data. Raise `UpdateError` if the session was ended in the meantime."""
        if self.session_key is None:
            self.create()
            return
        data = self._get_session(no_load=must_create)  # type: ignore[attr-defined]
        columns = {"data": self.encode(data), "user_id": data.get(USER_KEY), **self._last_use(clock.now())}
        columns["identity_link_id"] = data.get(LINK_KEY)
        columns["acting_tenant_id"] = data.get(ACTING_TENANT)
        columns["factors"] = " ".join(session_factors(data))
        if (signed_in_at := sign_in_time(data)) is not None:
            columns["created_at"] = signed_in_at
        if must_create:
            row = ConsoleSession(key_sha256=_digest(self.session_key), **columns)
            try:
                with transaction.atomic():
                    row.save(force_insert=True)
            except IntegrityError:
                raise CreateError from None
            self.row_id = row.id
        elif not ConsoleSession.objects.filter(key_sha256=_digest(self.session_key)).update(**columns):
            raise UpdateError

    def delete(self, session_key: str | None = None) -> None:
        key = session_key or self.session_key
        if key is not None:
            ConsoleSession.objects.filter(key_sha256=_digest(key)).delete()

    def get_session_cookie_age(self) -> int:
        """Return the seconds until the absolute limit."""
        left = (sign_in_time(self) or clock.now()) + timedelta(hours=settings.THREADA_SESSION_HOURS) - clock.now()
        return max(0, int(left.total_seconds()))

    @classmethod
    def clear_expired(cls) -> None:
        expire_sessions(now=clock.now())

    def _note_use(self, row_id: uuid.UUID, now: datetime) -> None:
        """Store the last use, unless the database cannot be written now, so that people can still read pages."""
        try:
            ConsoleSession.objects.filter(id=row_id).update(**self._last_use(now))
        except DatabaseError as error:
            if not isinstance(error.__cause__, psycopg.errors.DiskFull | psycopg.errors.ReadOnlySqlTransaction):
                raise

    def _last_use(self, now: datetime) -> dict[str, Any]:
        """Return the columns of a use at `now`; without a request, the source is unknown and stays.

        Requests that a page sends by itself are no use of the session.
        """
        if self.is_in_background:
            return {}
        source = (
            {}
            if self.source is None
            else {"address": self.source.address or None, "user_agent": self.source.user_agent}
        )
        return {"last_used_at": now, **source}


class ConsoleSessionMiddleware(SessionMiddleware):
    """Session middleware that gives the session the source of the request."""

    def process_request(self, request: HttpRequest) -> None:
        super().process_request(request)
        request.session.source = source_of(  # type: ignore[attr-defined]
            request.META, is_behind_proxy=settings.THREADA_TRUSTED_PROXY
        )
        request.session.is_in_background = is_in_background(request)  # type: ignore[attr-defined]


def sign_in_time(data: Any) -> datetime | None:
    """Return the time of the sign-in from the data of a session, or None if nobody has signed in."""
    stored = data.get(SIGNED_IN_AT)
    return datetime.fromtimestamp(stored, UTC) if isinstance(stored, int | float) else None


def _digest(session_key: str | None) -> bytes:
    """Return the SHA-256 of a key. Keys are random, so no slow hash is needed."""
    return hashlib.sha256((session_key or "").encode()).digest()
