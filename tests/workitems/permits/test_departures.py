"""Permits whose principal or approver lost access or membership."""

from __future__ import annotations

from tests.workitems.office import Office
from tests.workitems.permits.test_permits import finance, in_effect, now
from threada_site.database.unit_of_work import unit_of_work
from threada_site.identity.departure.access import end_access

__all__ = ["finance"]  # a fixture


def test_the_end_of_access_takes_a_principal_out_of_its_permits(finance: Office) -> None:
    rita, fay = finance.people["rita"], finance.people["fay"]
    alone = in_effect(finance)
    assert ended(finance) == (alone.public_id,)
    assert now(finance, alone).status == "revoked"
    shared = in_effect(finance, principals=[rita.public_id, fay.public_id])
    assert ended(finance) == (shared.public_id,)
    narrowed = now(finance, shared)
    assert (narrowed.status, narrowed.limits["principals"]) == ("in_effect", [fay.public_id])
    assert ended(finance) == ()


def ended(finance: Office) -> tuple[str, ...]:
    """End the access of the requester. Return the permits that were changed."""
    with unit_of_work(finance.tenant.id):
        return end_access(finance.people["rita"], ctx=finance.system).get("permits", ())
