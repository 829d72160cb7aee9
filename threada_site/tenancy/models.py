"""Tenants and principals.

`User` is the account of a principal and belongs to no tenant. Membership, role and credential belong to a tenant and
are under row-level security.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django.contrib.auth.base_user import AbstractBaseUser, BaseUserManager
from django.contrib.auth.models import Group, PermissionsMixin
from django.core.validators import RegexValidator
from django.db import models
from django.db.models.base import ModelBase

from threada_site.database.constraints import tenant_constraints
from threada_site.database.unit_of_work import current_actor
from threada_site.kernel import clock, ids
from threada_site.kernel.context import PrincipalKind, Scope, Visibility
from threada_site.tenancy.credentials.columns import OriginColumns
from threada_site.tenancy.instance_models import (
    Instance,
    LastBackup,
    RateBucket,
    RateRefusals,
    SchemaMigration,
    SignInCounter,
    SignInDomain,
    StoredMetrics,
)

__all__ = [
    "AccessHolder", "AccessReview", "AccessReviewEntry", "AccountDependence", "AccountLink", "Agent", "ChangeSet",
    "ConsoleSession", "EnrolledFactor", "GrantRecord", "IdentityLink", "IdentityProvider", "IdentityProviderVersion",
    "Instance", "LastBackup", "Passkey", "PeopleGroup", "PeopleGroupMember", "ProvisionedGroup",
    "ProvisionedGroupMember", "ProvisionedPerson", "RateBucket", "RateRefusals", "RecoveryCode", "RoleScopeRecord",
    "SchemaMigration", "SignInCounter", "SignInDomain", "StoredMetrics", "TenantQuota", "TrustedIssuer",
    "TrustedIssuerVersion",
]  # imported for Django  # fmt: skip

slug_validator = RegexValidator(rf"^{ids.SLUG_PATTERN}\Z", "Use a–z, 0–9, '-' and '_', at most 63 characters.")  # noqa: RUF001


class SlugColumn(models.CharField):
    """Column with a slug. `SlugField` would add a second index."""

    def __init__(self, **kwargs: object) -> None:
        kwargs = {"max_length": 63, "validators": [slug_validator], **kwargs}
        super().__init__(**kwargs)  # type: ignore[arg-type]


class Tenant(models.Model):
    """Isolation boundary of all business rows."""

    id = models.UUIDField(primary_key=True, default=ids.new_uuid, editable=False)
    slug = SlugColumn(unique=True)
    name = models.CharField(max_length=200)
    is_active = models.BooleanField(default=True)
    personal_token_days = models.PositiveSmallIntegerField(
        default=90, help_text="Longest life of a personal token, in days."
    )
    require_mfa = models.BooleanField(
        default=True, editable=False, help_text="Require a second factor of roles that can decide, or say so."
    )
    browser_origins = models.JSONField(
        default=list, editable=False, help_text="Origins of web pages that may call the API from a browser."
    )
    first_steps_hidden_at = models.DateTimeField(
        null=True, editable=False, help_text="Time when a steward hid the checklist of first steps."
    )
    created_at = models.DateTimeField(default=clock.now, editable=False)

    class Meta:
        permissions = [(scope.codename, scope.value) for scope in Scope]

    def __str__(self) -> str:
        return self.slug


class TenantRow(models.Model):
    """Base of all tenant tables. `Meta.constraints` must come from `tenant_constraints()`."""

    id = models.UUIDField(primary_key=True, default=ids.new_uuid, editable=False)
    tenant = models.ForeignKey(Tenant, on_delete=models.PROTECT, db_index=False, related_name="+", editable=False)

    class Meta:
        abstract = True

    def save(
        self,
        *,
        force_insert: bool | tuple[ModelBase, ...] = False,
        force_update: bool = False,
        using: str | None = None,
        update_fields: Iterable[str] | None = None,
    ) -> None:
        """Save the row. An update leaves out the tenant, which never changes and the web's login may not write."""
        if update_fields is None and not (self._state.adding or force_insert):
            left_out = {"id", "tenant_id", *self.get_deferred_fields()}
            update_fields = {field.attname for field in self._meta.concrete_fields} - left_out
        super().save(force_insert=force_insert, force_update=force_update, using=using, update_fields=update_fields)

    def get_additional_data(self) -> dict[str, Any]:
        """Return what django-auditlog stores with an edit of this row: the tenant, and the actor if known."""
        ctx = current_actor()
        if ctx is None or ctx.tenant_id != self.tenant_id:
            return {"tenant": str(self.tenant_id)}
        return {
            "tenant": str(self.tenant_id),
            "actor": ctx.actor,
            "actor_name": ctx.principal_name,
            "entry_point": ctx.entry_point.value,
            "correlation_id": ctx.correlation_id,
        }


class UserManager(BaseUserManager["User"]):
    def get_by_natural_key(self, username: str | None) -> User:
        """Return the person with this name. Services and agents do not sign in."""
        return self.get(username=username, home_tenant__isnull=True)


class User(AbstractBaseUser, PermissionsMixin):
    """Principal. Humans may have a password for the console; services and agents only have credentials.

    A person belongs to the instance and may be a member of several tenants. A service or an agent belongs to one
    tenant, in which its name is unique.
    """

    id = models.UUIDField(primary_key=True, default=ids.new_account_id, editable=False)
    username = SlugColumn()
    home_tenant = models.ForeignKey(
        Tenant, on_delete=models.PROTECT, null=True, db_index=False, related_name="+", editable=False
    )
    kind = models.CharField(max_length=8, choices=[(kind.value, kind.value) for kind in PrincipalKind])
    display_name = models.CharField(max_length=200, blank=True)
    email = models.EmailField(blank=True)
    email_confirmed_at = models.DateTimeField(
        null=True, editable=False, help_text="Time at which the person used a link mailed to `email`."
    )
    time_zone = models.CharField(max_length=64, blank=True, help_text="Time zone in which this person reads times.")
    language = models.CharField(max_length=16, blank=True, help_text="Language in which this person reads the console.")
    is_active = models.BooleanField(default=True)
    created_at = models.DateTimeField(default=clock.now, editable=False)

    objects = UserManager()

    USERNAME_FIELD = "username"
    EMAIL_FIELD = "email"
    REQUIRED_FIELDS = []

    class Meta:
        verbose_name = "principal"
        constraints = [
            models.CheckConstraint(
                name="user_kind_known", condition=models.Q(kind__in=[kind.value for kind in PrincipalKind])
            ),
            models.CheckConstraint(name="user_never_superuser", condition=models.Q(is_superuser=False)),
            models.CheckConstraint(
                name="user_home_of_services_and_agents",
                condition=models.Q(kind=PrincipalKind.HUMAN.value, home_tenant__isnull=True)
                | (~models.Q(kind=PrincipalKind.HUMAN.value) & models.Q(home_tenant__isnull=False)),
            ),
            models.UniqueConstraint(
                fields=["username"], name="user_person_name_once", condition=models.Q(home_tenant__isnull=True)
            ),
            models.UniqueConstraint(
                fields=["home_tenant", "username"],
                name="user_name_once_in_tenant",
                condition=models.Q(home_tenant__isnull=False),
            ),
        ]

    def __str__(self) -> str:
        return self.display_name or self.username

    def save(self, *args: Any, **kwargs: Any) -> None:
        """Save the account. A new password ends all sessions; storing the same one under another hash does not."""
        is_new_password = self._password is not None and not self._state.adding  # type: ignore[attr-defined]
        super().save(*args, **kwargs)
        if is_new_password:
            self.console_sessions.all().delete()

    @property
    def is_staff(self) -> bool:
        """Return True for people, who may open the console; memberships decide what they see."""
        return self.kind == PrincipalKind.HUMAN

    @property
    def public_id(self) -> str:
        return ids.public_id(ids.PRINCIPAL, self.id)


class Membership(TenantRow):
    """Membership of a principal in a tenant. Its roles are the role groups of the tenant that contain it.

    `owner` is the person who answers for an agent or a service; people have none. Memberships that the operator adds,
    and those of agents and services, are accepted at once.
    """

    user = models.ForeignKey(User, on_delete=models.PROTECT, related_name="memberships")
    owner = models.ForeignKey(User, on_delete=models.PROTECT, null=True, db_index=False, related_name="+")
    created_at = models.DateTimeField(default=clock.now, editable=False)
    added_by = models.UUIDField(null=True, editable=False, help_text="Principal; empty: the operator.")
    accepted_at = models.DateTimeField(
        null=True, editable=False, help_text="Time at which a person accepted the invitation; votes need it."
    )

    class Meta:
        constraints = [
            *tenant_constraints("membership"),
            models.UniqueConstraint(fields=["tenant", "user"], name="membership_once"),
        ]

    def __str__(self) -> str:
        return str(self.user)


class Role(TenantRow):
    """Named set of scopes: a group whose object permissions on the tenant are the scopes."""

    slug = SlugColumn()
    group = models.OneToOneField(Group, on_delete=models.PROTECT, related_name="role")
    visibility = models.CharField(
        max_length=6,
        choices=[(visibility.value, visibility.value) for visibility in Visibility],
        default=Visibility.TENANT.value,
        help_text="Work items that workitems:read of this role shows.",
    )
    require_mfa = models.BooleanField(
        null=True,
        editable=False,
        help_text="Require a second factor of people with this role; empty: if the role can decide.",
    )

    class Meta:
        constraints = [
            *tenant_constraints("role"),
            models.UniqueConstraint(fields=["tenant", "slug"], name="role_slug_once"),
            models.CheckConstraint(
                name="role_visibility_known",
                condition=models.Q(visibility__in=[visibility.value for visibility in Visibility]),
            ),
        ]

    def __str__(self) -> str:
        return self.slug


class FourEyesRule(TenantRow):
    """Four-eyes rule of a tenant, for example `policy_four_eyes`. Without a row, one person is enough.

    Turning it off needs two people: the first requests it, the second confirms.
    """

    slug = SlugColumn()
    is_required = models.BooleanField(default=False)
    changed_at = models.DateTimeField(default=clock.now, editable=False)
    end_asked_by = models.UUIDField(null=True)
    end_asked_at = models.DateTimeField(null=True)

    class Meta:
        verbose_name = "four-eyes rule"
        verbose_name_plural = "four-eyes rules"
        constraints = [
            *tenant_constraints("foureyesrule"),
            models.UniqueConstraint(fields=["tenant", "slug"], name="foureyesrule_once"),
            models.CheckConstraint(
                name="foureyesrule_asked_by_somebody",
                condition=models.Q(end_asked_by__isnull=True, end_asked_at__isnull=True)
                | models.Q(end_asked_by__isnull=False, end_asked_at__isnull=False, is_required=True),
            ),
        ]

    def __str__(self) -> str:
        return self.slug


class DataSubject(TenantRow):
    """Person that cases are about. The key in this row encrypts the contents of those cases.

    `lookup` finds the subject by its reference. An erasure empties all three columns.
    """

    lookup = models.BinaryField(max_length=32, null=True, editable=False)
    reference = models.BinaryField(null=True, editable=False, help_text="Encrypted with the key of the subject.")
    wrapped_key = models.BinaryField(
        null=True, editable=False, help_text="Wrapped with the people_key of the instance."
    )
    created_at = models.DateTimeField(default=clock.now, editable=False)
    erased_at = models.DateTimeField(null=True, editable=False)

    class Meta:
        constraints = [
            *tenant_constraints("datasubject"),
            models.UniqueConstraint(fields=["tenant", "lookup"], name="datasubject_lookup_once"),
            models.CheckConstraint(
                name="datasubject_erased_wholly",
                condition=models.Q(
                    erased_at__isnull=True, lookup__isnull=False, reference__isnull=False, wrapped_key__isnull=False
                )
                | models.Q(
                    erased_at__isnull=False, lookup__isnull=True, reference__isnull=True, wrapped_key__isnull=True
                ),
            ),
        ]

    def __str__(self) -> str:
        return self.public_id

    @property
    def public_id(self) -> str:
        return ids.public_id(ids.DATA_SUBJECT, self.id)


class Credential(OriginColumns, TenantRow):
    """Bearer token of one principal in one tenant. Only its SHA-256 is stored; the token is shown once."""

    user = models.ForeignKey(User, on_delete=models.PROTECT, related_name="credentials")
    token_sha256 = models.BinaryField(max_length=32, unique=True, editable=False)
    hint = models.CharField(max_length=16, editable=False, help_text="The first characters, to tell tokens apart.")
    label = models.CharField(max_length=200, blank=True)
    scopes = models.JSONField(default=list)
    issued_by = models.UUIDField(null=True, editable=False, help_text="Principal; empty: the operator.")
    awaits_confirmation = models.BooleanField(
        default=False, editable=False, help_text="Not valid before a second steward confirms it."
    )
    confirmed_by = models.UUIDField(null=True, editable=False)
    created_at = models.DateTimeField(default=clock.now, editable=False)
    expires_at = models.DateTimeField(null=True, blank=True)
    revoked_at = models.DateTimeField(null=True, blank=True, editable=False)
    last_used_at = models.DateTimeField(null=True, blank=True, editable=False)

    class Meta(OriginColumns.Meta):
        constraints = tenant_constraints("credential")

    def __str__(self) -> str:
        return f"{self.hint}…"

    @property
    def public_id(self) -> str:
        return ids.public_id(ids.CREDENTIAL, self.id)

    @property
    def is_live(self) -> bool:
        return self.revoked_at is None and (self.expires_at is None or self.expires_at > clock.now())


class PersonalToken(Credential):
    """Credential of the reader, as listed on the page of personal tokens."""

    class Meta:
        proxy = True
        verbose_name = "personal token"


from threada_site.tenancy.account_link_models import AccountLink  # noqa: E402
from threada_site.tenancy.authority_models import AccountDependence, ChangeSet, GrantRecord, RoleScopeRecord  # noqa: E402
from threada_site.tenancy.deletions import models as _deletions  # noqa: E402, F401
from threada_site.tenancy.directory.access_review_models import AccessHolder, AccessReview, AccessReviewEntry  # noqa: E402
from threada_site.tenancy.directory.agent_models import Agent  # noqa: E402
from threada_site.tenancy.directory.group_models import PeopleGroup, PeopleGroupMember  # noqa: E402
from threada_site.tenancy.directory.provisioning_models import (  # noqa: E402
    ProvisionedGroup,
    ProvisionedGroupMember,
    ProvisionedPerson,
)
from threada_site.tenancy.factor_models import EnrolledFactor, Passkey, RecoveryCode  # noqa: E402
from threada_site.tenancy.identity_provider_models import (  # noqa: E402
    IdentityLink,
    IdentityProvider,
    IdentityProviderVersion,
)
from threada_site.tenancy.quotas.models import TenantQuota  # noqa: E402
from threada_site.tenancy.session_models import ConsoleSession  # noqa: E402
from threada_site.tenancy.trusted_issuer_models import TrustedIssuer, TrustedIssuerVersion  # noqa: E402
