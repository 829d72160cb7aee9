"""Authentication of people who decide: votes, publications of change sets, confirmations, lifted freezes, attestations.

A decision counts for a person if the person made it, and not somebody who holds a token of that person. Every service
that asks for a person's decision calls `require_person`; votes call `check_authentication`.
"""

from __future__ import annotations

from typing import Final

from threada_site.database.router import read_connection
from threada_site.kernel import errors
from threada_site.kernel.context import ActingContext, AuthenticationMethod
from threada_site.kernel.factors import has_second_factor

_WITHOUT_TOKEN: Final = (
    AuthenticationMethod.NONE,
    AuthenticationMethod.SESSION,
    AuthenticationMethod.IDENTITY_PROVIDER,
)
_COVERAGE: Final = """
    SELECT t.needs_second_factor,
           (SELECT c.session_factors FROM tenancy_credential c WHERE c.tenant_id = $2 AND c.id = $3)
      FROM threada_tenants_of($1) t
     WHERE t.tenant_id = $2
"""


def require_person(detail: str, *, ctx: ActingContext) -> None:
    """Raise `PersonRequired` with `detail` unless a person acts, and the errors of `check_authentication`."""
    if not ctx.is_person:
        raise errors.PersonRequired(detail)
    check_authentication(ctx=ctx)


def check_authentication(*, ctx: ActingContext) -> None:
    """Raise `VoteAuthenticationRequired` if a decision of the acting person does not count.

    A token that somebody else issued never counts. Where `require_mfa` covers the person, a decision counts from a
    session with a second factor, or from a personal token that was created in one. Runs one statement for a token or
    a session without a second factor. Agents and services, who only advise, are exempt.
    """
    refusal = _refusal(ctx)
    if refusal:
        raise errors.VoteAuthenticationRequired(refusal)


def has_authentication_to_decide(ctx: ActingContext) -> bool:
    """Return True if `check_authentication` passes, or if it is not known yet how the person will authenticate.

    Runs no statement for a console session: one without a required factor has neither roles nor scopes.
    """
    return ctx.authentication.method in _WITHOUT_TOKEN or not _refusal(ctx)


def _refusal(ctx: ActingContext) -> str:
    """Return why a decision of the acting person does not count, or an empty text."""
    if not ctx.is_person or has_second_factor(ctx.authentication.factors):
        return ""
    method = ctx.authentication.method
    if method is AuthenticationMethod.ISSUED_TOKEN:
        return (
            "Somebody else issued this token to you, so a decision with it does not count. Decide in the console, or "
            "with a personal token."
        )
    is_covered, session_factors = _coverage(ctx)
    if not is_covered or (method is AuthenticationMethod.PERSONAL_TOKEN and has_second_factor(session_factors)):
        return ""
    return (
        "This tenant requires a second factor of you, so a decision counts from a console session with one, or from a "
        "personal token that you created in such a session. Sign in with a second factor and decide there, or create a "
        "new personal token."
    )


def _coverage(ctx: ActingContext) -> tuple[bool, list[str]]:
    """Return whether the tenant requires a second factor of the person, and those of the session of the token.

    The factors are empty for a token that somebody else issued, or that was created before they were stored. A person
    who is no active member is covered.
    """
    with read_connection().prepared_cursor() as cursor:
        cursor.execute(_COVERAGE, [ctx.principal_id, ctx.tenant_id, ctx.credential_id])
        row = cursor.fetchone()
    if row is None:
        return True, []
    return bool(row[0]), list(row[1] or ())
