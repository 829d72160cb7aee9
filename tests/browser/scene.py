"""Demo data for the pages of decisions: pending payments of several kinds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tests.factories import acting_system
from tests.journeys.demo import Demo
from threada_site.database.unit_of_work import unit_of_work
from threada_site.identity.principals import set_time_zone
from threada_site.tenancy.models import Membership, User
from workitems.models import SavedView

RULES: list[dict[str, Any]] = [
    {"id": "sanctioned-vendor", "when": "item.payload.vendor == 'Initech'", "effect": "deny", "reason": "SANCTIONED"},
    {
        "id": "new-vendor",
        "when": "ctx.action == 'pay' && 'new_vendor' in item.risk_flags",
        "effect": "require_approval",
        "reason": "NEW_VENDOR",
        "message": "We have never paid this vendor.",
        "approvals": {"all": [{"role": "security"}], "respond_within": "PT4H", "expires_after": "P1D"},
    },
    {
        "id": "large-payment",
        "when": "ctx.action == 'pay' && item.payload.amount_minor > 1000000",
        "effect": "require_approval",
        "reason": "AMOUNT_OVER_LIMIT",
        "message": "More than 10,000.00 needs two people of finance.",
        "approvals": {
            "all": [{"role": "finance", "count": 2}],
            "respond_within": "PT8H",
            "expires_after": "P3D",
            "escalate_after": "P1D",
            "escalate_to": [{"role": "security"}],
        },
    },
    {"id": "within-limits", "when": "true", "effect": "allow", "reason": "WITHIN_LIMITS"},
]
EVIDENCE: dict[str, Any] = {
    "citations": [
        {
            "source": "Framework contract HO-2025-17",
            "locator": "§ 4.2",
            "quote": "Invoices are due within 30 days; the supplier may deliver in parts.",
        },
        {"source": "Goods received note 88231", "locator": "line 3", "quote": "40 of 40 delivered, undamaged."},
    ]
}
VENDORS = ("Hooli", "Umbrella Logistics", "Stark Office Supplies", "Wayne Cleaning")


@dataclass(frozen=True)
class Scene:
    """Ids of steps: a payment with a change and advice, one with hidden characters, and three plain ones."""

    changed: str
    hidden: str
    plain: list[str]
    item: str
    stuck: str


def morning(demo: Demo) -> Scene:
    """Create payments of several kinds that are pending for `finance-1`."""
    demo.put_rules(*RULES, only=True)
    demo.join("scout", kind="agent", roles=("approver", "finance"))
    plain = []
    for place, vendor in enumerate(VENDORS):
        item = demo.hand_in(
            {"vendor": vendor, "amount_minor": 1_250_000 + 70_000 * place, "invoice": f"R-{1041 + place}"}
        )
        plain.append(_asked(demo, item))
    item = demo.hand_in(
        {"vendor": "Hooli", "amount_minor": 2_400_000, "invoice": "R-2040"},
        evidence=EVIDENCE,
        risk_flags=["new_vendor", "amount_unusual"],
        confidence=0.82,
    )
    _asked(demo, item)
    payload = {"vendor": "Hooli Ltd", "amount_minor": 2_450_000, "invoice": "R-2040"}
    assert demo.client.edit(f"/work-items/{item}", {"payload": payload}).status_code == 200
    demo.wait()
    changed = _asked(demo, item)
    step = demo.step_of(item)
    said = demo.vote(
        "scout", step, comment="The amount is 500.00 above the order: ask for the delivery note of the rest."
    )
    assert said.json()["counted"] is False
    demo.vote("finance-2", step, comment="The rest came on Monday; I have the note.")
    odd = demo.hand_in({"vendor": "ACME \u202eLTD\u202c", "amount_minor": 1_900_000, "invoice": "R-77\u200b1"})
    hidden = _asked(demo, odd)
    stuck = demo.hand_in({"vendor": "Soylent", "amount_minor": 1_800_000, "invoice": "R-9"})
    _asked(demo, stuck)
    with unit_of_work(demo.tenant.id):
        for name, filters in (("Risky, this week", {"due": "week", "risk": "flagged"}), ("Mine", {"claimed": "me"})):
            SavedView.objects.create(
                tenant_id=demo.tenant.id,
                membership=Membership.objects.get(user__username="finance-1"),
                name=name,
                filters=filters,
            )
        set_time_zone(User.objects.get(username="finance-1"), "Europe/Berlin", ctx=acting_system(demo.tenant))
    return Scene(changed, hidden, plain, item, stuck)


def _asked(demo: Demo, item: str) -> str:
    demo.wait()
    answer = demo.execute(item)
    assert answer.status_code == 202, answer.content
    return str(demo.step_of(item)["decision_step_id"])
