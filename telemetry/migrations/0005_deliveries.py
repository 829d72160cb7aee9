import django.core.validators
import django.db.models.deletion
from django.db import migrations, models

import threada_site.database.constraints
import threada_site.kernel.clock
import threada_site.kernel.ids
import threada_site.tenancy.models


class Migration(migrations.Migration):
    dependencies = [
        ("telemetry", "0004_summary"),
        ("tenancy", "0001_initial"),
    ]

    operations = [
        migrations.CreateModel(
            name="Delivery",
            fields=[
                (
                    "id",
                    models.UUIDField(
                        default=threada_site.kernel.ids.new_uuid, editable=False, primary_key=True, serialize=False
                    ),
                ),
                (
                    "slug",
                    threada_site.tenancy.models.SlugColumn(
                        max_length=63,
                        validators=[
                            django.core.validators.RegexValidator(
                                "^[a-z0-9][a-z0-9_-]{0,62}\\Z", "Use a–z, 0–9, '-' and '_', at most 63 characters."
                            )
                        ],
                    ),
                ),
                ("target", models.CharField(choices=[("webhook", "webhook"), ("file", "file")], max_length=16)),
                ("url", models.CharField(blank=True, max_length=2000)),
                (
                    "secret",
                    models.JSONField(help_text="Where the signing secret lies: {env: …} or {file: …}.", null=True),
                ),
                (
                    "status",
                    models.CharField(
                        choices=[("active", "active"), ("paused", "paused"), ("removed", "removed")],
                        default="active",
                        max_length=16,
                    ),
                ),
                ("next_index", models.BigIntegerField(default=0)),
                ("batch_end", models.BigIntegerField(null=True)),
                ("file_size", models.BigIntegerField(default=0, help_text="Bytes of the file that are delivered.")),
                ("attempts", models.IntegerField(default=0, help_text="Failed tries since the last success.")),
                ("next_try_at", models.DateTimeField(null=True)),
                ("failing_since", models.DateTimeField(null=True)),
                (
                    "failure",
                    models.CharField(
                        blank=True, help_text="A reason code: of the last try, while it fails.", max_length=64
                    ),
                ),
                ("detail", models.CharField(blank=True, max_length=500)),
                ("paused_at", models.DateTimeField(null=True)),
                ("delivered_at", models.DateTimeField(null=True)),
                ("lease_until", models.DateTimeField(null=True)),
                ("fence", models.BigIntegerField(default=0)),
                ("created_by", models.UUIDField(null=True)),
                ("created_at", models.DateTimeField(default=threada_site.kernel.clock.now)),
                (
                    "tenant",
                    models.ForeignKey(
                        db_index=False,
                        editable=False,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="tenancy.tenant",
                    ),
                ),
            ],
            options={
                "verbose_name_plural": "deliveries",
                "indexes": [
                    models.Index(
                        condition=models.Q(("status", "active")), fields=["next_try_at"], name="delivery_active_idx"
                    )
                ],
                "constraints": [
                    threada_site.database.constraints.RowLevelSecurity(name="delivery_rls"),
                    models.UniqueConstraint(fields=("tenant", "id"), name="delivery_tenant_id_key"),
                    models.UniqueConstraint(
                        condition=models.Q(("status", "removed"), _negated=True),
                        fields=("tenant", "slug"),
                        name="delivery_slug_key",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            models.Q(("target", "webhook"), _negated=True),
                            models.Q(models.Q(("url", ""), _negated=True), ("secret__isnull", False)),
                            _connector="OR",
                        ),
                        name="delivery_webhook_is_whole",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            ("next_index__gte", 0),
                            models.Q(
                                ("batch_end__isnull", True), ("batch_end__gt", models.F("next_index")), _connector="OR"
                            ),
                        ),
                        name="delivery_moves_on",
                    ),
                ],
            },
        ),
    ]
