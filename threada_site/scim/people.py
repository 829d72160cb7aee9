"""People whom a provisioning client adds, changes, deactivates and deletes."""

from __future__ import annotations

from typing import Any, Final

from django.contrib.auth.hashers import make_password
from django.db import IntegrityError, transaction
from scim2_models import (
    InvalidValueException,
    NotFoundException,
    PreconditionFailedException,
    UniquenessException,
)

from telemetry.receipts.format import Entry
from telemetry.receipts.record import record
from threada_site.identity.dependence import record_dependence
from threada_site.identity.factors.enrolled import enrolled_kinds
from threada_site.identity.personal_notices import notify_person
from threada_site.identity.providers.links import free_name
from threada_site.identity.providers.provisioned import sync_provisioned_roles
from threada_site.identity.selectors import belongs_elsewhere
from threada_site.kernel import clock, ids
from threada_site.kernel.context import PrincipalKind
from threada_site.kernel.factors import Factor
from threada_site.scim import memberships
from threada_site.scim.authority import Client
from threada_site.scim.documents import (
    changed_names,
    column_text,
    etag,
    mail_address,
    shown_name,
    stored_attributes,
    time_zone,
    user_key,
)
from threada_site.tenancy.authority_models import DependenceReason
from threada_site.tenancy.directory.provisioning_models import SOURCE
from threada_site.tenancy.models import ConsoleSession, IdentityLink, ProvisionedPerson, User
from threada_site.tenancy.quotas.kinds import Quota
from threada_site.tenancy.quotas.require import require_quota

_CHANGED: Final = (
    "user_name",
    "user_name_key",
    "external_id",
    "attributes",
    "version",
    "modified_at",
    "deleted_at",
)
_TAKEN: Final = "A person with this userName or externalId exists in this tenant."


def create_person(resource: Any, *, client: Client) -> ProvisionedPerson:
    """Add a person with an account without password, and make it a member of the tenant unless `active` is false.

    The account depends on the client until somebody confirms it (`confirm_account`). An external id that the client
    deleted before names the same person again. Receipts `principal.created`,
    `provisioning.person_added`, and `member.added`. Raise `UniquenessException` for a name or external id that is
    taken, `QuotaExceeded`.
    """
    ctx = client.ctx
    external_id = column_text(resource.external_id, "externalId")
    row = _deleted(external_id, client=client)
    is_return = row is not None
    if row is None:
        require_quota(Quota.PROVISIONED_PEOPLE, ctx=ctx)
        row = ProvisionedPerson(tenant_id=ctx.tenant_id, user=_account(resource, client=client), is_active=False)
        row.version = 0
    else:
        row.deleted_at = None
    is_active = resource.active is not False
    _fill(row, resource)
    row.attributes["active"] = is_active
    _save(row, is_new=not is_return)
    record_dependence(row.user, DependenceReason.CREATED, ctx=ctx)
    record(_entry("provisioning.person_added", row, {"is_active": is_active}), ctx=ctx)
    if is_active:
        _activate(row, is_return=is_return, client=client)
    return row


def update_person(row: ProvisionedPerson, resource: Any, *, expected: str | None, client: Client) -> ProvisionedPerson:
    """Give a person the attributes of `resource`. `active` ends or restores the membership.

    The account depends on a client that gives it another external id: whom an identity provider names by it signs in as
    this person. If the person could sign in already, nobody does by the external id before an independent steward or
    the operator confirms the account; the sessions of links end, and the person is notified.
    Receipts `provisioning.person_changed` with the names of the attributes, and those of the membership. Raise
    `PreconditionFailedException` for another version, `UniquenessException`.
    """
    row = locked_person(row.user_id, expected=expected, client=client)
    before = {**row.attributes, "userName": row.user_name, "externalId": row.external_id}
    is_active = resource.active is not False
    was_active = row.is_active
    _fill(row, resource)
    after = {**row.attributes, "userName": row.user_name, "externalId": row.external_id}
    _save(row)
    if not belongs_elsewhere(row.user, tenant_id=client.ctx.tenant_id):
        _describe_account(row.user, resource)
    record(_entry("provisioning.person_changed", row, {"attributes": changed_names(before, after)}), ctx=client.ctx)
    if before["externalId"] != row.external_id:
        _depend_on_new_id(row.user, client=client)
    if is_active and not was_active:
        _activate(row, is_return=True, client=client)
    elif was_active and not is_active:
        _deactivate(row, client=client)
    return row


def delete_person(row: ProvisionedPerson, *, expected: str | None, client: Client) -> None:
    """End the membership of a person, and forget what the client sent, except for the external id.

    Receipts `provisioning.person_deleted`, `member.removed`.
    """
    row = locked_person(row.user_id, expected=expected, client=client)
    if row.is_active:
        _deactivate(row, client=client)
    memberships.leave_all_groups(row, client=client)
    row.deleted_at = clock.now()
    row.user_name = row.user_name_key = ""
    row.attributes = {}
    row.version += 1
    row.save(update_fields=["deleted_at", "user_name", "user_name_key", "attributes", "version"])
    record(_entry("provisioning.person_deleted", row), ctx=client.ctx)


def locked_person(user_id: Any, *, expected: str | None = None, client: Client) -> ProvisionedPerson:
    """Return a person under a lock. Raise `NotFoundException`, `PreconditionFailedException`."""
    rows = ProvisionedPerson.objects.select_for_update(of=("self",)).select_related("user")
    row = rows.filter(tenant_id=client.ctx.tenant_id, user_id=user_id, deleted_at=None).first()
    if row is None:
        raise NotFoundException
    if expected is not None and etag(row.version) != expected:
        raise PreconditionFailedException
    return row


def _deleted(external_id: str, *, client: Client) -> ProvisionedPerson | None:
    """Return the person whom the client deleted with this external id, unless the account was erased."""
    if not external_id:
        return None
    rows = ProvisionedPerson.objects.select_for_update(of=("self",)).select_related("user")
    return rows.filter(
        tenant_id=client.ctx.tenant_id, external_id=external_id, deleted_at__isnull=False, user__is_active=True
    ).first()


def _account(resource: Any, *, client: Client) -> User:
    person = User(kind=PrincipalKind.HUMAN.value, password=make_password(None))
    _describe(person, resource)
    person.username = free_name(person.email or resource.user_name or person.display_name)
    person.save(force_insert=True)
    inputs = {"principal": person.public_id, "kind": person.kind, "source": SOURCE}
    record(Entry(kind="principal.created", inputs=inputs), ctx=client.ctx)
    return person


def _describe(person: User, resource: Any) -> None:
    email = mail_address(resource)
    if email != person.email:
        person.email, person.email_confirmed_at = email, None
    person.display_name = shown_name(resource)
    person.time_zone = time_zone(resource) or person.time_zone


def _describe_account(person: User, resource: Any) -> None:
    _describe(person, resource)
    person.save(update_fields=["email", "email_confirmed_at", "display_name", "time_zone"])


def _fill(row: ProvisionedPerson, resource: Any) -> None:
    row.user_name = column_text(resource.user_name, "userName")
    if not row.user_name:
        raise InvalidValueException(detail="userName is empty.")
    row.user_name_key = user_key(row.user_name)
    row.external_id = column_text(resource.external_id, "externalId")
    row.attributes = stored_attributes(resource)
    row.modified_at = clock.now()
    row.version += 1


def _save(row: ProvisionedPerson, *, is_new: bool = False) -> None:
    if is_new:
        row.modified_at = row.created_at
    try:
        with transaction.atomic():
            row.save(**{"force_insert": True} if is_new else {"update_fields": _CHANGED})
    except IntegrityError:
        raise UniquenessException(detail=_TAKEN) from None


def _activate(row: ProvisionedPerson, *, is_return: bool, client: Client) -> None:
    row.is_active = True
    row.save(update_fields=["is_active"])
    memberships.begin(row.user, is_return=is_return, client=client)
    memberships.join_groups(row, client=client)
    sync_provisioned_roles([row], by=client.sole_author, ctx=client.confirming)


def _deactivate(row: ProvisionedPerson, *, client: Client) -> None:
    row.is_active = False
    row.save(update_fields=["is_active"])
    memberships.end(row.user, client=client)


def _depend_on_new_id(person: User, *, client: Client) -> None:
    """Let a person with another external id depend on the client, and keep it from signing in if the person could.

    Locks the links, so that a sign-in that is under way sees the dependence or is seen here.
    """
    links = IdentityLink.objects.select_for_update().filter(tenant_id=client.ctx.tenant_id, user=person).order_by("id")
    found = [link.id for link in links]
    could_sign_in = person.has_usable_password() or Factor.PASSKEY in enrolled_kinds(person.id)
    if not (found or could_sign_in or person.last_login is not None):  # a departure ended what there was
        record_dependence(person, DependenceReason.CREATED, ctx=client.ctx)
        return
    record_dependence(person, DependenceReason.LINKED, ctx=client.ctx)
    ConsoleSession.objects.filter(identity_link_id__in=found).delete()
    notify_person(person.id, "external_id_changed", client.ctx.tenant_slug, ctx=client.ctx)


def _entry(kind: str, row: ProvisionedPerson, outcome: dict[str, Any] | None = None) -> Entry:
    inputs = {"principal": ids.public_id(ids.PRINCIPAL, row.user_id), "version": row.version}
    return Entry(kind=kind, inputs=inputs, outcome=outcome or {})
