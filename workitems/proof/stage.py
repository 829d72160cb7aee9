"""Transactions of a proof. Everything in them is rolled back.

A transaction serves several cases, so that its synthetic people are made once. Each case is a savepoint that is rolled
back with its locks. A transaction lasts at most a second, and with it every lock on an existing row: a case for which
its time does not suffice runs again in a transaction of its own.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable
from contextlib import ExitStack
from typing import Final

from django.db import InternalError, OperationalError, connection, transaction

from policies.language.approvals import Leaf
from telemetry.receipts.keyring import ReceiptKeyring, signing_with
from threada_site.database.unit_of_work import unit_of_work
from threada_site.kernel.context import ActingContext
from workitems.proof.people import Cast, cast_for

_OWN_SHARE: Final = 0.9
"""Part of the time after which a case ends itself. The database ends the transaction after the whole."""
_TRANSACTION_TIMEOUT_SINCE: Final = 170_000


TIMEOUTS: Final = (OperationalError, InternalError)
"""Errors of a statement that waited too long, and of a transaction that the database ended."""


class TooSlowError(Exception):
    """A case took longer than its transaction may."""


class _RolledBackError(Exception):
    """Ends the savepoint of a case."""


class Case:
    """A synthetic case inside its transaction, with its people. `ctx` is the operator's context.

    `synthetic` contains the ids of all synthetic people of the transaction.
    """

    def __init__(self, ctx: ActingContext, cast: Cast, ends: float, synthetic: frozenset[uuid.UUID]) -> None:
        self.ctx, self.cast, self.ends, self.synthetic = ctx, cast, ends, synthetic

    def check_time(self) -> None:
        """Raise `TooSlowError` when the time of the transaction is over. Limit the next statements to what is left."""
        _limit_statements(self.ends)

    def undone[T](self, run: Callable[[], T]) -> T:
        """Return what `run` returns, and roll back what it did."""
        found: list[T] = []
        try:
            with unit_of_work(self.ctx.tenant_id):
                found.append(run())
                raise _RolledBackError
        except _RolledBackError:
            return found[0]


class Stage:
    """Runs the cases of a proof, as many in one transaction as its time allows. Close it at the end."""

    def __init__(self, ctx: ActingContext, *, seconds: float) -> None:
        self.ctx, self.seconds = ctx, seconds
        self._open: ExitStack | None = None
        self._ends = 0.0
        self._casts: dict[tuple[tuple[Leaf, ...], int], Cast] = {}
        # Cases act as web and worker, whose keys this process has not. Nothing that these keys sign is kept.
        self._keyring = ReceiptKeyring.throw_away()

    def observe[T](self, run: Callable[[Case], T], leaves: tuple[Leaf, ...] = (), approvers: int = 0) -> T:
        """Return what `run` returns for a case with people who have what `leaves` ask for.

        Raise `TooSlowError` or one of `TIMEOUTS` if a transaction of its own does not suffice.
        """
        is_own = self._open is None
        try:
            return self._in_case(run, leaves, approvers)
        except (TooSlowError, *TIMEOUTS):
            self.close()
            if is_own:
                raise
        return self.observe(run, leaves, approvers)

    def close(self) -> None:
        """Roll back the open transaction."""
        if self._open is not None:
            opened, self._open = self._open, None
            self._casts.clear()
            transaction.set_rollback(True)
            opened.close()

    def _in_case[T](self, run: Callable[[Case], T], leaves: tuple[Leaf, ...], approvers: int) -> T:
        self._begin()
        _limit_statements(self._ends)
        if (leaves, approvers) not in self._casts:
            with unit_of_work(self.ctx.tenant_id):
                cast = cast_for(leaves, approvers, ctx=self.ctx)
            self._casts[leaves, approvers] = cast
        synthetic = frozenset(person for cast in self._casts.values() for person in cast.ids)
        case = Case(self.ctx, self._casts[leaves, approvers], self._ends, synthetic)
        case.check_time()
        return case.undone(lambda: run(case))

    def _begin(self) -> None:
        if self._open is not None:
            return
        is_outermost = not connection.in_atomic_block
        self._open = ExitStack()
        self._open.enter_context(unit_of_work(self.ctx.tenant_id))
        self._open.enter_context(signing_with(self._keyring))
        self._ends = time.monotonic() + self.seconds * _OWN_SHARE
        if is_outermost and connection.pg_version >= _TRANSACTION_TIMEOUT_SINCE:  # type: ignore[attr-defined]
            _set_local("transaction_timeout", self.seconds)


def _limit_statements(ends: float) -> None:
    left = ends - time.monotonic()
    if left <= 0:
        raise TooSlowError
    _set_local("statement_timeout", left)


def _set_local(name: str, seconds: float) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT set_config(%s, %s, true)", [name, f"{max(int(seconds * 1000), 1)}ms"])
