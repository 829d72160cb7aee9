"""Records of authority: dependences between accounts, times of grants, and changes that wait for a second person."""

from __future__ import annotations

from django.db import models

from threada_site.database.constraints import tenant_constraints
from threada_site.kernel import clock, ids
from threada_site.tenancy.models import TenantRow, User


class DependenceReason(models.TextChoices):
    """Act by which one person gained control over the account of another."""

    CREATED = "created", "created the account"
    INVITED = "invited", "sent the invitation"
    RESET = "reset", "reset the password"
    ISSUED = "issued", "issued a credential"
    OWNED = "owned", "owned the agent or service"
    NAMED = "named", "named the owner of the agent or service"
    LINKED = "linked", "made the identity provider that signs the person in"


class AccountDependence(TenantRow):
    """Dependence of a person's account on the person who created, invited, reset or credentialed it.

    It lasts until an independent steward, an identity provider or the operator confirms the account (`ended_by`; empty
    with `ended_at` set: the operator), never until a time. Agents and services depend so on whoever named their owner
    (`named`) until that is confirmed; their other dependences last, and end where a new owner answers for somebody who
    left.
    """

    user = models.ForeignKey(User, on_delete=models.PROTECT, db_index=False, related_name="+")
    depends_on = models.ForeignKey(User, on_delete=models.PROTECT, db_index=False, related_name="+")
    reason = models.CharField(max_length=8, choices=DependenceReason)
    created_at = models.DateTimeField(default=clock.now, editable=False)
    ended_at = models.DateTimeField(null=True, editable=False)
    ended_by = models.UUIDField(null=True, editable=False)
    ended_how = models.CharField(max_length=20, blank=True, help_text="steward, identity_provider or operator")

    class Meta:
        constraints = tenant_constraints("accountdependence")
        indexes = [
            models.Index(
                fields=["tenant", "user"], name="accountdependence_open", condition=models.Q(ended_at__isnull=True)
            )
        ]

    def __str__(self) -> str:
        return f"{self.user} depends on {self.depends_on}"


class GrantKind(models.TextChoices):
    """Kind of a grant to a principal."""

    MEMBER = "member", "membership"
    ROLE = "role", "role"
    GROUP = "group", "group"
    SCOPE = "scope", "scope on one object"


class GrantRecord(TenantRow):
    """Time from which a principal holds a membership, role, group or scope, and its confirmation.

    `name` is the slug of the role or group, or `<scope>@<id of the object>`; empty for a membership. The row ends with
    the grant. `confirmed_at` without `confirmed_by`: the operator made the grant.
    """

    user = models.ForeignKey(User, on_delete=models.PROTECT, db_index=False, related_name="+")
    kind = models.CharField(max_length=8, choices=GrantKind)
    name = models.CharField(max_length=160, blank=True)
    effective_at = models.DateTimeField(default=clock.now, editable=False)
    granted_by = models.UUIDField(null=True, editable=False, help_text="Principal; empty: the operator.")
    confirmed_by = models.UUIDField(null=True, editable=False)
    confirmed_at = models.DateTimeField(null=True, editable=False)
    source = models.CharField(
        max_length=63, blank=True, editable=False, help_text="Identity provider of a role; empty: made by hand."
    )

    class Meta:
        constraints = [
            *tenant_constraints("grantrecord"),
            models.UniqueConstraint(fields=["tenant", "user", "kind", "name"], name="grantrecord_once"),
        ]

    def __str__(self) -> str:
        return f"{self.kind} {self.name} of {self.user}"


class RoleScopeRecord(TenantRow):
    """Time from which a role has one of its scopes, and its confirmation as in `GrantRecord`.

    A scope that is added to a role later counts like a new grant to each holder: through a role, a scope is in effect
    from the later of both times, and is confirmed if both are (`grant_times.read_grant_times`). The row ends with the
    scope; a scope that returns gets a new time.
    """

    role = models.CharField(max_length=63)
    scope = models.CharField(max_length=40)
    effective_at = models.DateTimeField(default=clock.now, editable=False)
    granted_by = models.UUIDField(null=True, editable=False, help_text="Principal; empty: the operator.")
    confirmed_by = models.UUIDField(null=True, editable=False)
    confirmed_at = models.DateTimeField(null=True, editable=False)

    class Meta:
        constraints = [
            *tenant_constraints("rolescoperecord"),
            models.UniqueConstraint(fields=["tenant", "role", "scope"], name="rolescoperecord_once"),
        ]

    def __str__(self) -> str:
        return f"{self.scope} of {self.role}"


class ChangeSetStatus(models.TextChoices):
    """Status of a change set."""

    PROPOSED = "proposed", "proposed"
    PUBLISHED = "published", "published"
    REJECTED = "rejected", "rejected"
    STALE = "stale", "stale"


class ChangeSet(TenantRow):
    """A change that takes effect when an independent person publishes it by its digest.

    `operation` names the registered operation and `arguments` its input. `before` and `after` show the difference.
    `digest` is the SHA-256 of the canonical JSON of rule, operation, arguments, before and after.
    """

    rule = models.CharField(max_length=63)
    operation = models.CharField(max_length=63)
    title = models.CharField(max_length=300)
    arguments = models.JSONField()
    before = models.JSONField(null=True)
    after = models.JSONField(null=True)
    digest = models.CharField(max_length=64)
    status = models.CharField(max_length=10, choices=ChangeSetStatus, default=ChangeSetStatus.PROPOSED)
    proposed_by = models.UUIDField(null=True, editable=False, help_text="Principal; empty: the operator.")
    proposed_at = models.DateTimeField(default=clock.now, editable=False)
    parties = models.JSONField(default=list, help_text="Ids of people who have a part in the change.")
    closed_by = models.UUIDField(null=True, editable=False)
    closed_at = models.DateTimeField(null=True, editable=False)
    reason = models.CharField(max_length=500, blank=True)

    class Meta:
        constraints = [
            *tenant_constraints("changeset"),
            models.UniqueConstraint(
                fields=["tenant", "digest"],
                name="changeset_proposed_once",
                condition=models.Q(status=ChangeSetStatus.PROPOSED),
            ),
        ]
        indexes = [models.Index(fields=["tenant", "status", "id"], name="changeset_by_status")]

    def __str__(self) -> str:
        return self.title

    @property
    def public_id(self) -> str:
        return ids.public_id(ids.CHANGE_SET, self.id)
