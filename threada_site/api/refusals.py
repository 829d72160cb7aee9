"""Refusals of the API and the console: rolled back, unless they keep their changes, and recorded afterwards."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import partial
from typing import Any

import psycopg
import structlog
from django.conf import settings
from django.core.exceptions import BadRequest as DjangoBadRequest
from django.core.exceptions import PermissionDenied as DjangoPermissionDenied
from django.core.exceptions import RequestDataTooBig, SuspiciousOperation
from django.db import DatabaseError, InterfaceError, OperationalError
from django.http import Http404, HttpRequest
from django.utils.module_loading import import_string
from psycopg_pool import PoolTimeout
from rest_framework import exceptions as drf

from threada_site.database.unit_of_work import unit_of_work
from threada_site.kernel import errors
from threada_site.kernel.context import ActingContext
from threada_site.kernel.errors import ThreadaError
from threada_site.kernel.keyring import ReceiptKeyProblem

log = structlog.get_logger("threada.api")


def result_or_refusal[Result](
    work: Callable[[], Result],
    *,
    inside: AbstractContextManager[None],
    before_commit: Callable[[ThreadaError], None] | None = None,
    raises_failures: bool = False,
) -> Result | ThreadaError:
    """Call `work` in the unit of work `inside`. Return its result, or the refusal that it raised.

    A refusal with `keeps_changes` commits what was written before; `before_commit` may add to it. Any other error rolls
    back. `raises_failures`: raise errors of the instance (status 500 and more) instead of returning them: typed ones as
    such, an unforeseen one as it is.
    """
    try:
        with inside:
            try:
                return work()
            except ThreadaError as error:
                if not error.keeps_changes:
                    raise
                refusal = as_threada_error(error)
            if before_commit is not None:
                before_commit(refusal)
    except Exception as error:
        refusal = as_threada_error(error)
        if raises_failures and isinstance(refusal, errors.InternalError):
            raise
        if raises_failures and refusal.status >= 500:
            raise refusal from None
    return refusal


def record_refusal[Answer](
    refusal: ThreadaError,
    *,
    ctx: ActingContext | None,
    request: HttpRequest,
    subject: Any = None,
    instead: Callable[[], Answer | None] | None = None,
) -> Answer | None:
    """Write the receipt of a refusal, in a unit of work of its own.

    Without a tenant, for failures of the instance and beyond the rate of its sender, write a log line only. `instead`
    is called first in that unit of work. If it returns an answer, no receipt is written.
    """
    record = import_string(settings.THREADA_REFUSAL_HANDLER)
    method, path = request.method or "", request.path
    if ctx is None or refusal.status >= 500:
        record(None, refusal, method=method, path=path)
        return None
    new_network = getattr(request, "new_network", None)
    is_beyond_rate = partial(import_string(settings.THREADA_REFUSAL_COUNTER), ctx, refusal)
    only_recorded = instead is None and new_network is None
    if only_recorded and is_beyond_rate():
        record(None, refusal, method=method, path=path)
        return None
    with unit_of_work(ctx.tenant_id):
        answer = instead() if instead is not None else None
        if answer is None:
            is_counted = not only_recorded and is_beyond_rate()
            record(None if is_counted else ctx, refusal, method=method, path=path, subject=subject)
        if new_network is not None:
            import_string(settings.THREADA_NEW_NETWORK_HANDLER)(ctx, new_network)
    return answer


def as_threada_error(error: Exception) -> ThreadaError:
    """Return the typed refusal for any exception. An unforeseen one is logged and becomes `InternalError`."""
    if isinstance(error, ThreadaError):
        # Its frames contain the request's body. A stored refusal would keep them in memory.
        error.__context__ = error.__cause__ = None
        return error.with_traceback(None)
    if isinstance(error, Http404 | drf.NotFound):
        return errors.NotFound()
    if isinstance(error, drf.MethodNotAllowed):
        return errors.MethodNotAllowed(str(error.detail))
    if isinstance(error, drf.UnsupportedMediaType):
        return errors.UnsupportedMediaType("Send Content-Type: application/json.")
    if isinstance(error, RequestDataTooBig):
        return errors.PayloadTooLarge()
    if isinstance(error, drf.ParseError | DjangoBadRequest | SuspiciousOperation | UnicodeDecodeError):
        return errors.BadRequest()
    if isinstance(error, drf.PermissionDenied | DjangoPermissionDenied):
        return errors.PermissionDenied()
    if isinstance(error, ReceiptKeyProblem) or _is_write_failure(error):
        log.error("audit_unavailable", exc_info=error)
        return errors.AuditUnavailable(headers={"Retry-After": "5"})
    if isinstance(error, OperationalError | InterfaceError | PoolTimeout):
        is_ended = isinstance(error.__cause__, psycopg.errors.QueryCanceled)
        log.warning("statement_too_slow" if is_ended else "database_unavailable", exc_info=error)
        return errors.StatementTooSlow() if is_ended else errors.ServiceUnavailable(headers={"Retry-After": "2"})
    log.error("unforeseen_error", exc_info=error)
    return errors.InternalError()


def _is_write_failure(error: Exception) -> bool:
    """Return True if the tables of receipts refuse a row, or the database does: a full disk, or a standby."""
    if not isinstance(error, DatabaseError):
        return False
    is_closed = isinstance(error.__cause__, psycopg.errors.DiskFull | psycopg.errors.ReadOnlySqlTransaction)
    return is_closed or (not isinstance(error, OperationalError) and "telemetry_" in str(error))
