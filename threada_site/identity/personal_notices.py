"""Notices to a person about acts on the person's account. Preferences do not turn them off."""

from __future__ import annotations

import uuid
from typing import Final, Literal

from threada_site.jobs.enqueue import NOTICE_QUEUE, enqueue
from threada_site.kernel.context import ActingContext
from threada_site.tenancy.four_eyes import stewards

NOTIFY_PERSON: Final = "workitems.notify_person"
"""Name of the task that sends the notice."""

type PersonalNotice = Literal[
    "credential_issued",
    "role_granted",
    "delegation_received",
    "delegation_proposed",
    "delegation_confirmed",
    "membership_ended",
    "member_left",
    "steps_stuck",
    "address_change_asked",
    "sign_in_linked",
    "sign_in_unlinked",
    "external_id_changed",
    "factor_enrolled",
    "factor_removed",
    "factors_reset",
    "passkey_cloned",
    "recovery_codes_created",
    "recovery_code_used",
]


def notify_person(person_id: uuid.UUID, kind: PersonalNotice, what: str, *, ctx: ActingContext) -> None:
    """Notify a person in the transaction of the event, at each address of the person.

    `what` is the label of the credential, the name of the role, delegator, delegate or identity provider, or what
    happened to a membership or to steps.
    """
    enqueue(
        NOTIFY_PERSON,
        tenant_id=ctx.tenant_id,
        queue=NOTICE_QUEUE,
        person_id=str(person_id),
        kind=kind,
        what=what[:200],
        by="the operator of the instance" if ctx.is_system else ctx.principal_name,
    )


def notify_stewards(kind: PersonalNotice, what: str, *, ctx: ActingContext) -> None:
    """Notify all stewards but the acting person, as `notify_person` does."""
    for steward in stewards(ctx.tenant_id):
        if ctx.is_system or steward != ctx.principal_id:
            notify_person(steward, kind, what, ctx=ctx)
