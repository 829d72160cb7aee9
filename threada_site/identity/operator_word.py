"""People who are people by the operator's word: a command made their account, a password or a token of theirs.

Threada counts them as independent of each other and of the operator. That they are several people, and that nobody
kept what the commands printed, is not known to Threada.
"""

from __future__ import annotations

import uuid

import orjson
from django.db.models import Exists, OuterRef, Q

from telemetry.models import Receipt
from threada_site.kernel import clock, ids
from threada_site.kernel.context import PrincipalKind
from threada_site.tenancy.account_link_models import AccountLink, LinkPurpose
from threada_site.tenancy.models import Credential, IdentityLink, Membership, ProvisionedPerson


def people_by_operator(tenant_id: uuid.UUID) -> dict[str, list[str]]:
    """Return, by name, what commands made of each active person of a tenant: `account`, `password`, `token`.

    An account that an identity provider or a provisioning client also knows is not by the operator's word alone.
    """
    here = {"tenant_id": tenant_id, "user_id": OuterRef("user_id")}
    tokens = Credential.objects.filter(
        Q(expires_at=None) | Q(expires_at__gt=clock.now()), **here, issued_by=None, revoked_at=None
    )
    known = Exists(IdentityLink.objects.filter(**here)) | Exists(ProvisionedPerson.objects.filter(**here))
    members = Membership.objects.filter(
        tenant_id=tenant_id, user__is_active=True, user__kind=PrincipalKind.HUMAN.value, accepted_at__isnull=False
    )
    with_password = _with_password_of_operator(tenant_id)
    found = {}
    rows = members.annotate(is_known=known, has_token=Exists(tokens)).select_related("user").order_by("user__username")
    for member in rows:
        made = {
            "account": member.added_by is None and not member.is_known,
            "password": member.user.public_id in with_password,
            "token": member.has_token,
        }
        if any(made.values()):
            found[member.user.username] = [name for name, is_made in made.items() if is_made]
    return found


def _with_password_of_operator(tenant_id: uuid.UUID) -> set[str]:
    """Return the public ids of people whose password a command set, or who set it by a link that a command printed.

    Receipts that retention has deleted, and Django's `changepassword`, which writes none, are not known here.
    """
    bodies = Receipt.objects.filter(tenant_id=tenant_id, kind="principal.password_set").values_list("body", flat=True)
    read = [orjson.loads(bytes(body)) for body in bodies]
    by_link = AccountLink.objects.filter(
        tenant_id=tenant_id, purpose=LinkPurpose.RESET, created_by=None, address="", used_at__isnull=False
    )
    return {
        *(body["inputs"]["principal"] for body in read if body["actor"]["kind"] == "system"),
        *(ids.public_id(ids.PRINCIPAL, person) for person in by_link.values_list("user_id", flat=True)),
    }
