import django.core.validators
import django.db.models.deletion
from django.db import migrations, models

import threada_site.database.constraints
import threada_site.kernel.clock
import threada_site.kernel.ids
import threada_site.tenancy.models


class Migration(migrations.Migration):
    dependencies = [
        ("tenancy", "0005_contents_can_be_emptied"),
    ]

    operations = [
        migrations.CreateModel(
            name="FourEyesRule",
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
                ("is_required", models.BooleanField(default=False)),
                ("changed_at", models.DateTimeField(default=threada_site.kernel.clock.now, editable=False)),
                ("end_asked_by", models.UUIDField(null=True)),
                ("end_asked_at", models.DateTimeField(null=True)),
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
                "verbose_name": "rule of two people",
                "verbose_name_plural": "rules of two people",
                "constraints": [
                    threada_site.database.constraints.RowLevelSecurity(name="foureyesrule_rls"),
                    models.UniqueConstraint(fields=("tenant", "id"), name="foureyesrule_tenant_id_key"),
                    models.UniqueConstraint(fields=("tenant", "slug"), name="foureyesrule_once"),
                    models.CheckConstraint(
                        condition=models.Q(
                            models.Q(("end_asked_at__isnull", True), ("end_asked_by__isnull", True)),
                            models.Q(
                                ("end_asked_at__isnull", False), ("end_asked_by__isnull", False), ("is_required", True)
                            ),
                            _connector="OR",
                        ),
                        name="foureyesrule_asked_by_somebody",
                    ),
                ],
            },
        ),
    ]
