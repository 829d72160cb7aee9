import django.contrib.postgres.fields
import django.db.models.deletion
import django.db.models.functions.comparison
from django.conf import settings
from django.db import migrations, models

import threada_site.database.constraints
import threada_site.kernel.clock
import threada_site.kernel.ids


class Migration(migrations.Migration):
    dependencies = [
        ("integrations", "0001_initial"),
        ("policies", "0003_calendar"),
        ("tenancy", "0003_user_time_zone"),
        ("workitems", "0001_initial"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name="AwaitedKey",
            fields=[
                (
                    "id",
                    models.UUIDField(
                        default=threada_site.kernel.ids.new_uuid, editable=False, primary_key=True, serialize=False
                    ),
                ),
                ("key", models.CharField(max_length=250)),
            ],
        ),
        migrations.CreateModel(
            name="Delegation",
            fields=[
                (
                    "id",
                    models.UUIDField(
                        default=threada_site.kernel.ids.new_uuid, editable=False, primary_key=True, serialize=False
                    ),
                ),
                ("starts_at", models.DateTimeField()),
                ("ends_at", models.DateTimeField(help_text="When it ends, or was ended.")),
                ("reason", models.CharField(blank=True, max_length=500)),
                ("created_by", models.UUIDField(null=True)),
                ("created_at", models.DateTimeField(default=threada_site.kernel.clock.now, editable=False)),
                ("ended_at", models.DateTimeField(help_text="When somebody ended it before its time.", null=True)),
            ],
        ),
        migrations.CreateModel(
            name="Notice",
            fields=[
                (
                    "id",
                    models.UUIDField(
                        default=threada_site.kernel.ids.new_uuid, editable=False, primary_key=True, serialize=False
                    ),
                ),
                ("kind", models.CharField(max_length=16)),
                (
                    "occurrence",
                    models.CharField(blank=True, help_text="Which one of its kind: none happens twice.", max_length=64),
                ),
                (
                    "recipient_ids",
                    django.contrib.postgres.fields.ArrayField(
                        base_field=models.UUIDField(),
                        help_text="Whom it concerns; null: everybody the step waits for.",
                        null=True,
                    ),
                ),
                ("facts", models.JSONField(default=dict)),
                ("correlation_id", models.CharField(max_length=128)),
                ("created_at", models.DateTimeField(default=threada_site.kernel.clock.now, editable=False)),
            ],
        ),
        migrations.CreateModel(
            name="Roster",
            fields=[
                (
                    "id",
                    models.UUIDField(
                        default=threada_site.kernel.ids.new_uuid, editable=False, primary_key=True, serialize=False
                    ),
                ),
                ("fingerprint", models.CharField(max_length=64)),
                ("weighed_at", models.DateTimeField()),
            ],
        ),
        migrations.RemoveIndex(
            model_name="decisionstep",
            name="decisionstep_due_idx",
        ),
        migrations.AddField(
            model_name="decisionstep",
            name="assignee",
            field=models.ForeignKey(
                db_index=False,
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="+",
                to=settings.AUTH_USER_MODEL,
            ),
        ),
        migrations.AddField(
            model_name="decisionstep",
            name="escalate_at",
            field=models.DateTimeField(null=True),
        ),
        migrations.AddField(
            model_name="decisionstep",
            name="escalated_to",
            field=models.JSONField(default=list, help_text="Leaves whose people may stand in for any other leaf."),
        ),
        migrations.AddField(
            model_name="decisionstep",
            name="extended_at",
            field=models.DateTimeField(help_text="When its deadline passed once and was set anew.", null=True),
        ),
        migrations.AddField(
            model_name="decisionstep",
            name="remind_at",
            field=models.DateTimeField(null=True),
        ),
        migrations.AddField(
            model_name="decisionstep",
            name="sweep_after",
            field=models.DateTimeField(null=True),
        ),
        migrations.AddField(
            model_name="decisionstep",
            name="sweep_failures",
            field=models.PositiveSmallIntegerField(db_default=0, default=0),
        ),
        migrations.AddField(
            model_name="decisionstep",
            name="weigh_due",
            field=models.BooleanField(
                db_default=True, default=True, help_text="Whether anybody can complete it has to be looked at anew."
            ),
        ),
        migrations.AddField(
            model_name="vote",
            name="stands_for",
            field=django.contrib.postgres.fields.ArrayField(
                base_field=models.UUIDField(), default=list, help_text="Whose delegate the voter was at that moment."
            ),
        ),
        migrations.AddField(
            model_name="workitem",
            name="nobody_can_decide",
            field=models.BooleanField(
                db_default=False,
                default=False,
                help_text="It waits at a step that the people there are cannot complete.",
            ),
        ),
        migrations.AddField(
            model_name="decisionstep",
            name="next_due_at",
            field=models.GeneratedField(
                db_persist=True,
                expression=models.Case(
                    models.When(
                        escalate_at__isnull=True,
                        expires_at__isnull=True,
                        remind_at__isnull=True,
                        then=models.Value(None, output_field=models.DateTimeField()),
                    ),
                    default=django.db.models.functions.comparison.Greatest(
                        django.db.models.functions.comparison.Least("remind_at", "escalate_at", "expires_at"),
                        "sweep_after",
                    ),
                ),
                output_field=models.DateTimeField(null=True),
            ),
        ),
        migrations.AddIndex(
            model_name="decisionstep",
            index=models.Index(
                condition=models.Q(("next_due_at__isnull", False), ("status", "pending")),
                fields=["tenant", "next_due_at"],
                name="decisionstep_next_due_idx",
            ),
        ),
        migrations.AddIndex(
            model_name="decisionstep",
            index=models.Index(
                condition=models.Q(("status", "pending"), ("weigh_due", True)),
                fields=["tenant", "id"],
                name="decisionstep_weigh_idx",
            ),
        ),
        migrations.AddIndex(
            model_name="workitem",
            index=models.Index(
                condition=models.Q(("nobody_can_decide", True)), fields=["tenant", "id"], name="workitem_nobody_idx"
            ),
        ),
        migrations.AddField(
            model_name="awaitedkey",
            name="step",
            field=models.ForeignKey(
                db_constraint=False,
                db_index=False,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="awaited",
                to="workitems.decisionstep",
            ),
        ),
        migrations.AddField(
            model_name="awaitedkey",
            name="tenant",
            field=models.ForeignKey(
                db_index=False,
                editable=False,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="+",
                to="tenancy.tenant",
            ),
        ),
        migrations.AddField(
            model_name="delegation",
            name="delegate",
            field=models.ForeignKey(
                db_index=False,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="+",
                to=settings.AUTH_USER_MODEL,
            ),
        ),
        migrations.AddField(
            model_name="delegation",
            name="delegator",
            field=models.ForeignKey(
                db_index=False,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="+",
                to=settings.AUTH_USER_MODEL,
            ),
        ),
        migrations.AddField(
            model_name="delegation",
            name="tenant",
            field=models.ForeignKey(
                db_index=False,
                editable=False,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="+",
                to="tenancy.tenant",
            ),
        ),
        migrations.AddField(
            model_name="notice",
            name="step",
            field=models.ForeignKey(
                db_constraint=False,
                db_index=False,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="notices",
                to="workitems.decisionstep",
            ),
        ),
        migrations.AddField(
            model_name="notice",
            name="tenant",
            field=models.ForeignKey(
                db_index=False,
                editable=False,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="+",
                to="tenancy.tenant",
            ),
        ),
        migrations.AddField(
            model_name="roster",
            name="tenant",
            field=models.ForeignKey(
                db_index=False,
                editable=False,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="+",
                to="tenancy.tenant",
            ),
        ),
        migrations.AddIndex(
            model_name="awaitedkey",
            index=models.Index(fields=["tenant", "key", "step"], name="awaitedkey_key_idx"),
        ),
        migrations.AddConstraint(
            model_name="awaitedkey",
            constraint=threada_site.database.constraints.RowLevelSecurity(name="awaitedkey_rls"),
        ),
        migrations.AddConstraint(
            model_name="awaitedkey",
            constraint=models.UniqueConstraint(fields=("tenant", "id"), name="awaitedkey_tenant_id_key"),
        ),
        migrations.AddConstraint(
            model_name="awaitedkey",
            constraint=threada_site.database.constraints.TenantForeignKey(field="step", name="awaitedkey_step_fk"),
        ),
        migrations.AddConstraint(
            model_name="awaitedkey",
            constraint=models.UniqueConstraint(fields=("tenant", "step", "key"), name="awaitedkey_once"),
        ),
        migrations.AddIndex(
            model_name="delegation",
            index=models.Index(fields=["tenant", "ends_at"], name="delegation_ends_idx"),
        ),
        migrations.AddIndex(
            model_name="delegation",
            index=models.Index(fields=["tenant", "delegator", "id"], name="delegation_delegator_idx"),
        ),
        migrations.AddConstraint(
            model_name="delegation",
            constraint=threada_site.database.constraints.RowLevelSecurity(name="delegation_rls"),
        ),
        migrations.AddConstraint(
            model_name="delegation",
            constraint=models.UniqueConstraint(fields=("tenant", "id"), name="delegation_tenant_id_key"),
        ),
        migrations.AddConstraint(
            model_name="delegation",
            constraint=models.CheckConstraint(
                condition=models.Q(("delegator", models.F("delegate")), _negated=True), name="delegation_not_to_oneself"
            ),
        ),
        migrations.AddConstraint(
            model_name="delegation",
            constraint=models.CheckConstraint(
                condition=models.Q(("ends_at__gte", models.F("starts_at"))), name="delegation_ends_after_start"
            ),
        ),
        migrations.AddConstraint(
            model_name="notice",
            constraint=threada_site.database.constraints.RowLevelSecurity(name="notice_rls"),
        ),
        migrations.AddConstraint(
            model_name="notice",
            constraint=models.UniqueConstraint(fields=("tenant", "id"), name="notice_tenant_id_key"),
        ),
        migrations.AddConstraint(
            model_name="notice",
            constraint=threada_site.database.constraints.TenantForeignKey(field="step", name="notice_step_fk"),
        ),
        migrations.AddConstraint(
            model_name="notice",
            constraint=models.UniqueConstraint(fields=("tenant", "step", "kind", "occurrence"), name="notice_once"),
        ),
        migrations.AddConstraint(
            model_name="notice",
            constraint=models.CheckConstraint(
                condition=models.Q(("kind__in", ["assigned", "reminder", "escalated", "decided"])),
                name="notice_kind_known",
            ),
        ),
        migrations.AddConstraint(
            model_name="roster",
            constraint=threada_site.database.constraints.RowLevelSecurity(name="roster_rls"),
        ),
        migrations.AddConstraint(
            model_name="roster",
            constraint=models.UniqueConstraint(fields=("tenant", "id"), name="roster_tenant_id_key"),
        ),
        migrations.AddConstraint(
            model_name="roster",
            constraint=models.UniqueConstraint(fields=("tenant",), name="roster_once"),
        ),
    ]
