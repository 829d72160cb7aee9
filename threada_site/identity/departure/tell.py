"""Notices of a departure: to the person, and to the stewards."""

from __future__ import annotations

from typing import Final

from threada_site.identity.departure.outcome import Departure, DepartureReason
from threada_site.identity.personal_notices import notify_person, notify_stewards
from threada_site.kernel.context import ActingContext, PrincipalKind
from threada_site.tenancy.models import User

_TO_PERSON: Final = {
    DepartureReason.LEFT: "You have left the tenant.",
    DepartureReason.REMOVED: "You were removed from the tenant.",
    DepartureReason.DEPROVISIONED: "The directory of your organization ended your membership.",
}
_TO_STEWARDS: Final = {
    DepartureReason.LEFT: "{name} has left the tenant.",
    DepartureReason.REMOVED: "{name} was removed from the tenant.",
    DepartureReason.DEPROVISIONED: "The directory ended the membership of {name}.",
}


def tell_of_departure(person: User, departure: Departure, reason: DepartureReason, *, ctx: ActingContext) -> None:
    """Notify the person and the stewards, in the transaction of the departure.

    Nobody is told of an erasure, or of a service or an agent. Of people whom a directory deprovisions, the stewards are
    told only if tokens stay that the person issued for others.
    """
    if person.kind != PrincipalKind.HUMAN or reason is DepartureReason.ERASED:
        return
    notify_person(person.id, "membership_ended", _TO_PERSON[reason], ctx=ctx)
    advice = advice_after(departure)
    if advice or reason is not DepartureReason.DEPROVISIONED:
        told = _TO_STEWARDS[reason].format(name=person.username)
        notify_stewards("member_left", f"{told} {advice}".strip(), ctx=ctx)


def advice_after(departure: Departure) -> str:
    """Return what a steward must still do; empty if nothing."""
    count = len(departure.issued)
    if not count:
        return ""
    tokens = f"{count} token{'' if count == 1 else 's'}"
    return f"The person issued {tokens} of services and may know {'it' if count == 1 else 'them'}: replace and revoke."
