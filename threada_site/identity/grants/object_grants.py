"""Scopes of principals on one workflow or integration."""

from __future__ import annotations

import uuid
from collections.abc import Collection
from typing import Any, Final

from django.contrib.auth.models import Permission
from django.contrib.contenttypes.models import ContentType
from django.db.models import QuerySet
from guardian.models import UserObjectPermission

from telemetry.receipts.format import Entry
from telemetry.receipts.record import record
from threada_site.database.unit_of_work import require_unit_of_work
from threada_site.identity.confirmation import require_second_steward
from threada_site.identity.grants.grant_records import end_grants, record_grants
from threada_site.identity.known_as import known_as
from threada_site.identity.stewardship import require_steward
from threada_site.kernel import errors
from threada_site.kernel.context import ActingContext, Scope
from threada_site.kernel.errors import FieldError
from threada_site.tenancy.authority_models import GrantKind, GrantRecord
from threada_site.tenancy.models import Membership, TenantRow, User

OBJECT_KINDS: Final = ("workflow", "integration")


def grant_scope_on(principal: User, scope: Scope, target: TenantRow, *, ctx: ActingContext) -> None:
    """Give one member one scope on one workflow or integration, as `set_object_scopes` does."""
    set_object_scopes(principal, target, {*object_scopes(principal, target), scope}, ctx=ctx)


def withdraw_scope_on(principal: User, scope: Scope, target: TenantRow, *, ctx: ActingContext) -> None:
    """Withdraw one scope on one workflow or integration, as `set_object_scopes` does."""
    set_object_scopes(principal, target, object_scopes(principal, target) - {scope}, ctx=ctx)


def set_object_scopes(principal: User, target: TenantRow, scopes: Collection[Scope], *, ctx: ActingContext) -> None:
    """Give one member exactly these scopes on one workflow or integration; credentials change immediately.

    Receipts `scope.granted` and `scope.withdrawn`; nothing happens if it holds these scopes. Raise `InvalidRequest` if
    a scope does not apply to such an object or the principal is not a member, `NotFound` for another tenant's object,
    `ConfirmationRequired` where a second steward must confirm it.
    """
    require_unit_of_work(ctx.tenant_id)
    require_steward(ctx)
    if target.tenant_id != ctx.tenant_id:
        raise errors.NotFound
    content_type = ContentType.objects.get_for_model(target)
    permissions = {
        permission.codename: permission for permission in Permission.objects.filter(content_type=content_type)
    }
    for scope in sorted(scopes):
        if scope.codename not in permissions:
            raise errors.InvalidRequest(
                f"{scope.value} is not held on a single {content_type.model}.",
                errors=[FieldError("/scope", "does not apply here", "scope_not_applicable")],
            )
    if not lock_object_scopes(principal, ctx=ctx):
        raise errors.InvalidRequest(
            "The principal does not belong to this tenant. Add it first.",
            errors=[FieldError("/principal", "is not a member", "not_a_member")],
        )
    held, wanted = object_scopes(principal, target), frozenset(scopes)
    if held == wanted:
        return
    on = {"kind": content_type.model, "id": str(target)}
    place = f"{content_type.model} {target}"
    require_second_steward(
        "set_object_scopes",
        f"Set the scopes of {principal.username} on the {place}",
        {"principal": known_as(principal, tenant_id=ctx.tenant_id), "on": on, "scopes": _names(wanted)},
        before={principal.username: {place: _names(held)}},
        after={principal.username: {place: _names(wanted)}},
        ctx=ctx,
    )
    added = sorted(wanted - held)
    UserObjectPermission.objects.bulk_create(
        UserObjectPermission(
            user=principal,
            permission=permissions[scope.codename],
            content_type=content_type,
            object_pk=str(target.pk),
        )
        for scope in added
    )
    for scope in added:
        record_grants([principal.id], GrantKind.SCOPE, f"{scope.value}@{target.pk}", ctx=ctx)
        record(_entry("scope.granted", principal, scope, on, ctx=ctx), ctx=ctx)
    rows = _rows(principal, target)
    for scope in sorted(held - wanted):
        rows.filter(permission__codename=scope.codename).delete()
        end_grants([principal.id], GrantKind.SCOPE, f"{scope.value}@{target.pk}", ctx=ctx)
        record(_entry("scope.withdrawn", principal, scope, on, ctx=ctx), ctx=ctx)


def lock_object_scopes(principal: User, *, ctx: ActingContext) -> bool:
    """Let nobody else change the scopes of a member on single objects until the transaction ends.

    Return False if the principal is not a member.
    """
    rows = Membership.objects.select_for_update(no_key=True).filter(tenant_id=ctx.tenant_id, user=principal)
    return rows.first() is not None


def object_named(kind: str, slug: str, *, ctx: ActingContext) -> TenantRow:
    """Return the `workflow` or `integration` of the tenant with this id. Raise `NotFound`."""
    if kind not in OBJECT_KINDS:
        raise errors.NotFound
    found = _model(kind)._default_manager.filter(tenant_id=ctx.tenant_id, slug=slug).first()
    if found is None:
        raise errors.NotFound
    target: TenantRow = found
    return target


def object_slugs(tenant_id: uuid.UUID) -> dict[uuid.UUID, tuple[str, str]]:
    """Return kind and slug of all workflows and integrations of the tenant, by id."""
    return {
        key: (kind, slug)
        for kind in OBJECT_KINDS
        for key, slug in _model(kind)._default_manager.filter(tenant_id=tenant_id).values_list("id", "slug")
    }


def object_grants(tenant_id: uuid.UUID) -> QuerySet[GrantRecord]:
    """Return the records of scopes on single objects, with their principals."""
    return GrantRecord.objects.filter(tenant_id=tenant_id, kind=GrantKind.SCOPE).select_related("user")


def scopes_by_object(principal: User, *, tenant_id: uuid.UUID) -> list[tuple[str, list[str]]]:
    """Return the single objects on which a principal holds scopes, such as `workflow payments`, with the scopes."""
    rows = list(object_grants(tenant_id).filter(user=principal).order_by("name"))
    slugs = object_slugs(tenant_id) if rows else {}
    found: dict[str, list[str]] = {}
    for row in rows:
        scope, target = split_name(row.name)
        found.setdefault(" ".join(slugs[target]), []).append(scope)
    return sorted(found.items())


def split_name(record_name: str) -> tuple[str, uuid.UUID]:
    """Return scope and object of the name of a record: `<scope>@<id>`."""
    scope, _, target = record_name.partition("@")
    return scope, uuid.UUID(target)


def object_scopes(principal: User, target: TenantRow) -> frozenset[Scope]:
    """Return the scopes that a principal holds on one workflow or integration by a grant on it."""
    codenames = set(_rows(principal, target).values_list("permission__codename", flat=True))
    return frozenset(scope for scope in Scope if scope.codename in codenames)


def withdraw_scopes_on_objects(principal: User, *, ctx: ActingContext) -> None:
    """Withdraw all scopes of `principal` on single objects of the tenant. The caller writes the receipt."""
    granted = UserObjectPermission.objects.filter(user=principal)
    for content_type in ContentType.objects.filter(id__in=granted.values("content_type_id")):
        model = content_type.model_class()
        if model is None or not issubclass(model, TenantRow):
            continue
        keys = granted.filter(content_type=content_type).values_list("object_pk", flat=True)
        here = model._default_manager.filter(tenant_id=ctx.tenant_id, id__in=list(keys)).values_list("id", flat=True)
        granted.filter(content_type=content_type, object_pk__in=[str(key) for key in here]).delete()


def _rows(principal: User, target: TenantRow) -> Any:
    return UserObjectPermission.objects.filter(
        user=principal, content_type=ContentType.objects.get_for_model(target), object_pk=str(target.pk)
    )


def _names(scopes: Collection[Scope]) -> list[str]:
    return sorted(scope.value for scope in scopes)


def _entry(kind: str, principal: User, scope: Scope, on: dict[str, str], *, ctx: ActingContext) -> Entry:
    named = known_as(principal, tenant_id=ctx.tenant_id)
    inputs = {"principal": named, "scope": scope.value, "on": on}
    return Entry(kind=kind, inputs=inputs, accounts=(principal.id,))


def _model(kind: str) -> Any:
    """Return the model of workflows or integrations, which belong to apps that identity does not import."""
    on_object = ContentType.objects.filter(model=kind, permission__codename=Scope.ACTIONS_EXECUTE.codename)
    return on_object.get().model_class()
