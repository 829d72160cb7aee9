"""Authentication of voters: what a rule requires, what a vote stores, and how pages name it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from policies.language.approvals import ApprovalRule
from threada_site.kernel import clock, errors, ids
from threada_site.kernel.clock import rfc3339
from threada_site.kernel.context import ActingContext, AuthenticationMethod, EntryPoint
from threada_site.tenancy.credentials import deciding

OPERATOR = "operator"


def check_authentication(rule: ApprovalRule, *, ctx: ActingContext) -> None:
    """Raise an error if the rule requires another authentication. Agents and services, who only advise, are exempt.

    Raises `StepUpRequired` and `VoteAuthenticationRequired`, the latter also if the tenant requires another
    authentication of every decision of the person.
    """
    if not ctx.is_person:
        return
    deciding.check_authentication(ctx=ctx)
    if rule.authentication == "phishing_resistant" and "passkey" not in ctx.authentication.factors:
        raise errors.VoteAuthenticationRequired(
            "The rule requires a session in which a passkey was used. Use one in the console: sign in with it, or "
            "confirm by it before you vote."
        )
    if rule.authentication != "any" and not ctx.authentication.is_session:
        raise errors.VoteAuthenticationRequired("The rule requires a session. Sign in to the console and vote there.")
    if rule.step_up and not ctx.recently_reauthenticated(clock.now()):
        raise errors.StepUpRequired(
            "Prove again who you are with your decision: the rule asks for it, at most five minutes old."
            if ctx.entry_point is EntryPoint.CONSOLE
            else "Give this vote in the console, and re-authenticate there: a token cannot."
        )


def still_suffices(stored: Mapping[str, Any], rule: ApprovalRule, *, cast_under: ApprovalRule) -> bool:
    """Return True if a vote that was cast under the rule `cast_under` has the authentication that `rule` requires."""
    if rule.step_up and not cast_under.step_up:
        return False
    if rule.authentication == "phishing_resistant":
        return "passkey" in stored.get("factors", ())
    return rule.authentication == "any" or stored.get("method") in (
        AuthenticationMethod.SESSION,
        AuthenticationMethod.IDENTITY_PROVIDER,
    )


def stored_authentication(ctx: ActingContext) -> dict[str, Any]:
    """Return the authentication of the acting principal, as votes and their receipts contain it."""
    found = ctx.authentication
    issued_by = None
    if ctx.credential_id is not None:
        issued_by = ids.public_id(ids.PRINCIPAL, found.issued_by) if found.issued_by else OPERATOR
    return {
        "method": found.method.value,
        "at": rfc3339(found.at) if found.at else None,
        "issued_by": issued_by,
        "credential": ids.public_id(ids.CREDENTIAL, ctx.credential_id) if ctx.credential_id else None,
        "factors": list(found.factors),
        **({"workload": found.workload.as_json()} if found.workload else {}),
    }


def authentication_in_words(stored: Mapping[str, Any]) -> str:
    """Return the authentication of a vote in words, without its time; empty if it is not known."""
    match stored.get("method"):
        case AuthenticationMethod.SESSION:
            return f"in a session with {' and '.join(stored.get('factors') or ['an unknown factor'])}"
        case AuthenticationMethod.IDENTITY_PROVIDER:
            return "in a session with an identity provider"
        case AuthenticationMethod.PERSONAL_TOKEN:
            return "with a personal token"
        case AuthenticationMethod.OPERATOR_TOKEN:
            return "with a token issued by the operator"
        case AuthenticationMethod.ISSUED_TOKEN:
            return f"with a token issued by {stored.get('issued_by')}"
        case AuthenticationMethod.WORKLOAD:
            return f"with a token of the trusted issuer {stored.get('workload', {}).get('trusted_issuer')}"
        case AuthenticationMethod.LINK:
            return "with a one-time link"
        case _:
            return ""


def signed_in_at(stored: Mapping[str, Any]) -> datetime | None:
    """Return the time of the sign-in of the session in which a vote was cast."""
    return datetime.fromisoformat(stored["at"]) if stored.get("at") else None
