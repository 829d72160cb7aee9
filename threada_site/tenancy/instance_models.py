"""Tables of the instance; their rows belong to no tenant."""

from __future__ import annotations

from django.db import models

from threada_site.database.constraints import InstanceRows
from threada_site.kernel import clock


class StoredMetrics(models.Model):
    """Metrics for `/metrics`, stored by a worker for a web whose login may not take the platform role.

    At most one row: `id` is 1.
    """

    id = models.SmallIntegerField(primary_key=True, default=1, editable=False)
    metrics = models.JSONField(editable=False)
    collected_at = models.DateTimeField(editable=False)

    class Meta:
        constraints = [models.CheckConstraint(name="storedmetrics_one_row", condition=models.Q(id=1))]

    def __str__(self) -> str:
        return f"collected at {self.collected_at}"


class Instance(models.Model):
    """Facts that all machines must agree on, as the first one recorded them: key fingerprints and settings.

    At most one row: `id` is 1.
    """

    id = models.SmallIntegerField(primary_key=True, default=1, editable=False)
    salt = models.BinaryField(editable=False)
    facts = models.JSONField(default=dict, editable=False)
    made_at = models.DateTimeField(default=clock.now, editable=False)

    class Meta:
        constraints = [models.CheckConstraint(name="instance_one_row", condition=models.Q(id=1))]

    def __str__(self) -> str:
        return f"since {self.made_at}"


class LastBackup(models.Model):
    """The newest complete backup of the instance. At most one row: `id` is 1."""

    id = models.SmallIntegerField(primary_key=True, default=1, editable=False)
    made_at = models.DateTimeField(editable=False)
    name = models.CharField(max_length=255, editable=False, help_text="Name of the file.")
    size = models.BigIntegerField(editable=False)
    has_keys = models.BooleanField(editable=False)

    class Meta:
        constraints = [models.CheckConstraint(name="lastbackup_one_row", condition=models.Q(id=1))]

    def __str__(self) -> str:
        return f"{self.name} of {self.made_at}"


class SchemaMigration(models.Model):
    """Applied migration, recorded for code that does not contain it.

    `is_compatible`: such code may continue to run. `version`: of the code that applied the migration.
    """

    name = models.CharField(max_length=300, primary_key=True, editable=False)
    is_compatible = models.BooleanField(editable=False)
    version = models.CharField(max_length=40, editable=False)
    applied_at = models.DateTimeField(default=clock.now, editable=False)

    def __str__(self) -> str:
        return self.name


class RateBucket(models.Model):
    """Tokens of one rate limit, written only by the function `threada_lease_tokens`. The table is not logged."""

    key = models.TextField(primary_key=True, editable=False)
    tokens = models.FloatField(editable=False)
    refilled_at = models.DateTimeField(editable=False)

    class Meta:
        constraints = [InstanceRows(name="ratebucket_rls")]

    def __str__(self) -> str:
        return self.key


class RateRefusals(models.Model):
    """Number of requests refused by the rate limits of one kind, since the last crash of the database."""

    kind = models.TextField(primary_key=True, editable=False)
    requests = models.BigIntegerField(editable=False)

    class Meta:
        constraints = [InstanceRows(name="raterefusals_rls")]

    def __str__(self) -> str:
        return self.kind


class SignInCounter(models.Model):
    """Counter of attempts to sign in. `key`: keyed digest of what it counts by, so that no name or address is stored.

    `failures`: attempts that failed or are in progress. `last_at`: time of the last attempt that was admitted.
    """

    key = models.BinaryField(primary_key=True, max_length=32, editable=False)
    failures = models.PositiveIntegerField(editable=False)
    last_at = models.DateTimeField(db_index=True, editable=False)

    def __str__(self) -> str:
        return f"{self.failures} failures, last attempt at {self.last_at}"


class SignInDomain(models.Model):
    """Mail domain whose people sign in at an identity provider of one tenant, as the operator or its DNS confirmed.

    The primary key gives a domain to one tenant only. `expires_at` is empty for a domain that the operator confirmed.
    """

    domain = models.CharField(max_length=253, primary_key=True, editable=False)
    holder = models.ForeignKey("Tenant", on_delete=models.CASCADE, db_index=False, related_name="+")
    provider = models.CharField(max_length=63, editable=False, help_text="Id of the identity provider.")
    confirmed_at = models.DateTimeField(editable=False)
    expires_at = models.DateTimeField(null=True, editable=False)

    class Meta:
        constraints = [InstanceRows(name="signindomain_rls", readable="everybody")]

    def __str__(self) -> str:
        return self.domain
