"""Creation of tenants, the longest life of personal tokens in them, and their quotas."""

from __future__ import annotations

import uuid
from collections.abc import Collection, Mapping
from typing import Any, Final

from django.conf import settings
from django.db import IntegrityError, transaction

from telemetry.receipts.format import Entry
from telemetry.receipts.record import record
from threada_site.database.unit_of_work import require_unit_of_work
from threada_site.identity.default_roles import DEFAULT_ROLES
from threada_site.identity.roles import write_roles
from threada_site.identity.slugs import require_slug
from threada_site.identity.stewardship import require_steward
from threada_site.kernel import errors, ids
from threada_site.kernel.context import ActingContext, EntryPoint, system_context
from threada_site.kernel.errors import FieldError
from threada_site.tenancy.browser_origins import MOST_ORIGINS, browser_origins, is_browser_origin
from threada_site.tenancy.change_sets import ProposedChange, operation, require_confirmation
from threada_site.tenancy.four_eyes import IDENTITY_FOUR_EYES
from threada_site.tenancy.models import Tenant, TenantQuota
from threada_site.tenancy.quotas.kinds import Quota
from threada_site.tenancy.quotas.usage import quotas_of

MOST_TOKEN_DAYS: Final = 3660
_LIFE_OPERATION: Final = "tenant.personal_token_days"


def founding_context(slug: str, *, entry_point: EntryPoint = EntryPoint.COMMAND) -> ActingContext:
    """Return the context for creating a tenant; its `tenant_id` is the id of the new tenant.

    Open `unit_of_work(ctx.tenant_id)` and call `create_tenant` in it.
    """
    return system_context(
        tenant_id=ids.new_uuid(), tenant_slug=slug, correlation_id=ids.new_uuid().hex, entry_point=entry_point
    )


def create_tenant(slug: str, name: str = "", *, require_mfa: bool | None = None, ctx: ActingContext) -> Tenant:
    """Create a tenant with the default roles, as the instance's operator (`founding_context`).

    `require_mfa`: require a second factor of roles that can decide; None: as the instance's settings say. Receipt
    `tenant.created`. Raise `InvalidRequest` for an invalid slug, `Conflict` if the slug is taken.
    """
    require_unit_of_work(ctx.tenant_id)
    if not ctx.is_system:
        raise errors.PermissionDenied("Tenants are created by the instance's operator.")
    require_slug(slug, naming="tenant")
    if require_mfa is None:
        require_mfa = settings.THREADA_REQUIRE_MFA
    tenant = Tenant(id=ctx.tenant_id, slug=slug, name=name or slug, require_mfa=require_mfa)
    try:
        with transaction.atomic():
            tenant.save(force_insert=True)
    except IntegrityError:
        raise errors.Conflict(f"The tenant {slug!r} already exists.") from None
    write_roles(DEFAULT_ROLES, ctx=ctx)
    record(Entry(kind="tenant.created", inputs={"roles": sorted(DEFAULT_ROLES)}), ctx=ctx)
    return tenant


def personal_token_days(tenant_id: uuid.UUID) -> int:
    """Return the longest life of a personal token in days."""
    return Tenant.objects.values_list("personal_token_days", flat=True).get(id=tenant_id)


def set_personal_token_days(days: int, *, ctx: ActingContext) -> None:
    """Set the longest life of personal tokens, as a steward or the operator. Receipt `tenant.personal_token_days_set`.

    Nothing happens if it does not change. Raise `PermissionDenied`, `InvalidRequest` outside of 1 to 3660, and
    `ConfirmationRequired` where a second steward must confirm it.
    """
    require_unit_of_work(ctx.tenant_id)
    require_steward(ctx)
    if not 1 <= days <= MOST_TOKEN_DAYS:
        raise errors.InvalidRequest(
            f"The longest life is 1 to {MOST_TOKEN_DAYS} days.", errors=[FieldError("/days", "is out of range")]
        )
    before = personal_token_days(ctx.tenant_id)
    if days == before:
        return
    require_confirmation(
        ProposedChange(
            rule=IDENTITY_FOUR_EYES,
            operation=_LIFE_OPERATION,
            title=f"Let personal tokens live for {days} days",
            arguments={"days": days},
            before={"days": before},
            after={"days": days},
        ),
        ctx=ctx,
    )
    Tenant.objects.filter(id=ctx.tenant_id).update(personal_token_days=days)
    record(Entry(kind="tenant.personal_token_days_set", inputs={"days": days}), ctx=ctx)


@operation(_LIFE_OPERATION)
def token_days_of_change_set(arguments: Mapping[str, Any], ctx: ActingContext) -> None:
    """Set the longest life of personal tokens that a change set asks for."""
    set_personal_token_days(arguments["days"], ctx=ctx)


def requires_mfa(tenant_id: uuid.UUID) -> bool:
    """Return True if the tenant requires a second factor of roles that can decide."""
    return Tenant.objects.values_list("require_mfa", flat=True).get(id=tenant_id)


def set_require_mfa(required: bool, *, ctx: ActingContext) -> None:  # noqa: FBT001 - the value that is set
    """Require a second factor in the tenant or not, as the operator. Receipt `tenant.require_mfa_set`.

    Nothing happens if it does not change. Raise `PermissionDenied` for anybody else: the web's login cannot write it.
    """
    require_unit_of_work(ctx.tenant_id)
    if not ctx.is_system:
        raise errors.PermissionDenied("The requirement of a second factor is set by the instance's operator.")
    if requires_mfa(ctx.tenant_id) == required:
        return
    Tenant.objects.filter(id=ctx.tenant_id).update(require_mfa=required)
    record(Entry(kind="tenant.require_mfa_set", inputs={"is_required": required}), ctx=ctx)


def set_browser_origins(origins: Collection[str], *, ctx: ActingContext) -> None:
    """Set the origins whose pages may call the API of the tenant, as the operator. Receipt
    `tenant.browser_origins_set`.

    Nothing happens if they do not change. Web processes follow within ten seconds. Raise `PermissionDenied` for
    anybody else, `InvalidRequest` for what is no origin, and for more than 20.
    """
    require_unit_of_work(ctx.tenant_id)
    if not ctx.is_system:
        raise errors.PermissionDenied("Browser origins are set by the instance's operator.")
    wanted = sorted(set(origins))
    wrong = [origin for origin in wanted if not is_browser_origin(origin)]
    if wrong or len(wanted) > MOST_ORIGINS:
        raise errors.InvalidRequest(
            f"{wrong[0]!r} is no origin such as https://app.example:8443, in lower case and without a path."
            if wrong
            else f"A tenant lists at most {MOST_ORIGINS} origins."
        )
    if wanted == browser_origins(ctx.tenant_id):
        return
    Tenant.objects.filter(id=ctx.tenant_id).update(browser_origins=wanted)
    record(Entry(kind="tenant.browser_origins_set", inputs={"origins": wanted}), ctx=ctx)


def set_quota(kind: Quota, most: int | None, *, ctx: ActingContext) -> None:
    """Set a quota of the tenant, as the operator; None returns to the default. Receipt `tenant.quota_set`.

    Nothing happens if it does not change. Web processes follow within half a minute. Raise `PermissionDenied` for
    anybody else, and `InvalidRequest` for a negative number.
    """
    require_unit_of_work(ctx.tenant_id)
    if not ctx.is_system:
        raise errors.PermissionDenied("Quotas are set by the instance's operator.")
    if most is not None and most < 0:
        raise errors.InvalidRequest("A quota is a whole number from 0.")
    before = quotas_of(ctx.tenant_id)[kind]
    if most == (before.most if before.is_own else None):
        return
    TenantQuota.objects.update_or_create(tenant_id=ctx.tenant_id, kind=kind.value, defaults={"most": most})
    after = quotas_of(ctx.tenant_id)[kind]
    record(
        Entry(kind="tenant.quota_set", inputs={"quota": kind.value, "before": before.most, "limit": after.most}),
        ctx=ctx,
    )
