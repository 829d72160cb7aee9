"""What every process asks before it works: is the database isolated, does the rule engine refuse what it must?"""

from __future__ import annotations

from threada_site.kernel.cel import assert_hardened
from threada_site.tenancy.checks import isolation_problems


class NotSafeToRunError(RuntimeError):
    """The instance must not run like this; the message says why."""


def refuse_unless_safe() -> None:
    """Raise `NotSafeToRunError` when the login could see other tenants' rows or the rule engine is not hardened."""
    problems = list(isolation_problems())
    if problems:
        raise NotSafeToRunError("Threada refuses to run: " + "; ".join(problems) + ".")
    assert_hardened()
