"""Checks of a proof: agents and services without a known owner, and people by the operator's word."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from threada_site.identity.operator_word import people_by_operator
from threada_site.identity.owners import without_known_owner
from threada_site.identity.selectors import principals_of_tenant
from threada_site.kernel.context import ActingContext, PrincipalKind
from workitems.proof.results import Finding, Result

PEOPLE: Final = "people_are_apart"
OWNERS: Final = "machines_have_owners"
PROMISES: Final = {
    OWNERS: "A known person answers for every agent and service",
    PEOPLE: "People are several by more than the operator's word",
}
_MADE: Final = {"account": "the account", "password": "the password", "token": "a token"}


def accountable_findings(ctx: ActingContext, *, is_tried: bool) -> Iterator[Finding]:
    """Yield a finding for each agent or service without a known owner, which fails, and each person by the operator's
    word, which does not.

    Nothing passes unless a case of a policy does (`is_tried`), because these findings alone prove nothing.
    """
    ownerless = list(without_known_owner(ctx.tenant_id))
    for member in ownerless:
        text = f"Nobody is known to control it. Name its owner: manage.py set_owner PERSON --of {member.user.username}."
        yield Finding(OWNERS, Result.FAIL, text, member.user.username)
    if is_tried and not ownerless:
        yield Finding(OWNERS, Result.PASS, "Every agent and service has a known owner.", ctx.tenant_slug)
    yield from _by_operator(ctx, is_tried=is_tried)


def _by_operator(ctx: ActingContext, *, is_tried: bool) -> Iterator[Finding]:
    found = people_by_operator(ctx.tenant_id)
    everybody = set(
        principals_of_tenant(ctx.tenant_id)
        .filter(kind=PrincipalKind.HUMAN.value, is_active=True)
        .values_list("username", flat=True)
    )
    for name, made in found.items():
        text = f"A command of the operator made {' and '.join(_MADE[each] for each in made)}."
        yield Finding(PEOPLE, Result.NOT_APPLICABLE, text, name)
    if everybody and all({"account", "password"} <= set(found.get(name, ())) for name in everybody):
        text = (
            "Commands made the account and the password of everybody. They are one hand by construction, as in the "
            "demo of manage.py up: no receipt shows that several people decide."
        )
        yield Finding(PEOPLE, Result.NOT_APPLICABLE, text, ctx.tenant_slug)
    elif is_tried and not found:
        yield Finding(PEOPLE, Result.PASS, "Nobody is a person by the operator's word.", ctx.tenant_slug)
