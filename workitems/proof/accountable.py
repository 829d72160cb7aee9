"""Checks of a proof: people who are people by the operator's word."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from threada_site.identity.operator_word import people_by_operator
from threada_site.identity.selectors import principals_of_tenant
from threada_site.kernel.context import ActingContext, PrincipalKind
from workitems.proof.results import Finding, Result

PEOPLE: Final = "people_are_apart"
PROMISES: Final = {PEOPLE: "People are several by more than the operator's word"}
_MADE: Final = {"account": "the account", "password": "the password", "token": "a token"}


def accountable_findings(ctx: ActingContext, *, has_cases: bool) -> Iterator[Finding]:
    """Yield a finding for each person by the operator's word, and one for the tenant. Nothing fails by them.

    Without cases of policies nothing passes, because these findings alone prove nothing.
    """
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
    elif has_cases and not found:
        yield Finding(PEOPLE, Result.PASS, "Nobody is a person by the operator's word.", ctx.tenant_slug)
