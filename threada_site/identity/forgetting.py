"""Erasure of a principal's identity: the account keeps its id and loses all personal data."""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import Any, Final

from auditlog.models import LogEntry
from django.contrib.contenttypes.models import ContentType
from django.db import connection
from django.db.models import Q

from telemetry.models import AccountEvent, SignInFailures
from threada_site.identity.change_sets.publish import close_unpublished
from threada_site.identity.departure.end import end_membership
from threada_site.identity.departure.outcome import DepartureReason
from threada_site.identity.selectors import belongs_elsewhere
from threada_site.kernel.context import ActingContext
from threada_site.tenancy.account_link_models import AccountLink
from threada_site.tenancy.authority_models import ChangeSet, ChangeSetStatus
from threada_site.tenancy.models import AccessReviewEntry, Credential, IdentityLink, Membership, ProvisionedPerson, User

# The log of configuration edits contains the actor's name; the id replaces it.
_FORGET_ACTOR: Final = """
UPDATE auditlog_logentry
   SET actor_email = NULL, additional_data = jsonb_set(additional_data, '{actor_name}', to_jsonb(%s::text))
 WHERE additional_data ->> 'actor' = %s
"""


_ERASED: Final = "Somebody whom the change names was erased. Propose the change again if it is still wanted."
_ABOUT_PRINCIPALS: Final = ("identity.", "principal.")
"""Beginnings of the names of operations whose titles may name a principal."""


def forget_account(principal: User, *, ctx: ActingContext) -> bool:
    """End the membership, and erase name, mail and time zone unless another tenant has the account too.

    Return True if the account was erased. Links to identity providers and what a provisioning client sent about the
    person are deleted. Stored edits of the account's rows in this tenant are erased too, the addresses and user agents
    of its sign-ins and credentials, and its name and address in change sets. Receipt `member.removed`.
    """
    credentials = Credential.objects.filter(tenant_id=ctx.tenant_id, user=principal)
    credentials.update(label="", networks=[])
    AccountEvent.objects.filter(tenant_id=ctx.tenant_id, principal_id=principal.id).update(
        address="", user_agent="", salt=b""
    )
    SignInFailures.objects.filter(tenant_id=ctx.tenant_id, principal_id=principal.id).delete()
    memberships = Membership.objects.filter(tenant_id=ctx.tenant_id, user=principal)
    rows = [*memberships.values_list("id", flat=True), *credentials.values_list("id", flat=True)]
    names = {str(principal), principal.username, principal.display_name} - {""}
    end_membership(principal, reason=DepartureReason.ERASED, ctx=ctx)
    ProvisionedPerson.objects.filter(tenant_id=ctx.tenant_id, user=principal).delete()
    IdentityLink.objects.filter(tenant_id=ctx.tenant_id, user=principal).delete()
    links = AccountLink.objects.filter(tenant_id=ctx.tenant_id, user=principal)
    addresses = {
        principal.email,
        *(address for pair in links.values_list("address", "previous_address") for address in pair),
    } - {""}
    _forget_in_change_sets(principal, {*names, *addresses}, ctx=ctx)
    AccessReviewEntry.objects.filter(tenant_id=ctx.tenant_id, user=principal).update(comment="")
    edits = LogEntry.objects.filter(additional_data__tenant=str(ctx.tenant_id))
    about = Q(object_pk__in=[str(row) for row in rows], content_type__in=_types(Membership, Credential))
    for name in names:
        about |= Q(changes__owner__contains=[name])
    edits.filter(about).update(object_repr=principal.public_id, changes=None, serialized_data=None)
    links.update(address="", previous_address="", mail_failure="")
    if belongs_elsewhere(principal, tenant_id=ctx.tenant_id):
        return False
    with connection.cursor() as cursor:
        cursor.execute(_FORGET_ACTOR, [principal.public_id] * 2)
    principal.username = f"erased-{principal.id.hex}"
    principal.display_name = principal.email = principal.time_zone = principal.language = ""
    principal.is_active = False
    principal.email_confirmed_at = None
    principal.last_login = None
    principal.set_unusable_password()
    principal.enrolled_factors.all().delete()
    principal.recovery_codes.all().delete()
    principal.save()
    return True


def _forget_in_change_sets(principal: User, names: Collection[str], *, ctx: ActingContext) -> None:
    """Replace the names and addresses of a principal by its id in change sets. Open ones among them become stale."""
    word = re.compile(rf"(?<![\w-]){re.escape(principal.username)}(?![\w-])")
    for row in ChangeSet.objects.filter(tenant_id=ctx.tenant_id).order_by("id").iterator():
        stored = (row.title, row.arguments, row.before, row.after)
        if row.operation.startswith(_ABOUT_PRINCIPALS):
            row.title = word.sub(principal.public_id, row.title)[:300]
        row.arguments, row.before, row.after = (_replaced(value, names, principal.public_id) for value in stored[1:])
        if (row.title, row.arguments, row.before, row.after) == stored:
            continue
        row.save(update_fields=["title", "arguments", "before", "after"])
        if row.status == ChangeSetStatus.PROPOSED:  # the digest no longer holds
            close_unpublished(row, _ERASED, ctx=ctx)


def _replaced(value: Any, names: Collection[str], instead: str) -> Any:
    """Return a JSON value in which strings and keys that are one of `names` are replaced."""
    if isinstance(value, dict):
        return {instead if key in names else key: _replaced(item, names, instead) for key, item in value.items()}
    if isinstance(value, list):
        return [_replaced(item, names, instead) for item in value]
    return instead if isinstance(value, str) and value in names else value


def _types(*models: type[Membership | Credential]) -> list[ContentType]:
    return [ContentType.objects.get_for_model(model) for model in models]
