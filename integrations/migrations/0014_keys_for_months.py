from pathlib import Path

from django.db import migrations, models

from threada_site.database.partitioning import BuildIndex, Patiently

SLOTS = Path(__file__).resolve().parent.parent / "sql" / "slots.sql"


class Migration(migrations.Migration):
    """Keys that tables by month can have: slots in place of two unique indexes, and attempts by their execution."""

    atomic = False

    dependencies = [("integrations", "0013_execution_slots")]

    operations = [
        Patiently(
            SLOTS.read_text(),
            "DROP TRIGGER slots ON integrations_execution; DROP TRIGGER slots_again ON integrations_execution; "
            "DROP FUNCTION threada_keep_slots(); DROP FUNCTION threada_slots(text, uuid, uuid); "
            "DELETE FROM integrations_executionslot; SET CONSTRAINTS ALL IMMEDIATE",
        ),
        BuildIndex(
            "execution_undoes_idx",
            "ON integrations_execution (tenant_id, undoes_id) WHERE undoes_id IS NOT NULL",
            state_operations=[
                migrations.AddIndex(
                    "execution",
                    models.Index(
                        fields=["tenant", "undoes_id"],
                        condition=models.Q(undoes_id__isnull=False),
                        name="execution_undoes_idx",
                    ),
                )
            ],
        ),
        Patiently(
            "DROP INDEX IF EXISTS execution_one_open_per_item",
            "CREATE UNIQUE INDEX execution_one_open_per_item ON integrations_execution (tenant_id, work_item_id) "
            "WHERE status IN ('awaiting_approval', 'started', 'running', 'outcome_unknown')",
            state_operations=[migrations.RemoveConstraint("execution", "execution_one_open_per_item")],
        ),
        Patiently(
            "DROP INDEX IF EXISTS execution_undone_once",
            "CREATE UNIQUE INDEX execution_undone_once ON integrations_execution (tenant_id, undoes_id) "
            "WHERE undoes_id IS NOT NULL "
            "AND status IN ('awaiting_approval', 'started', 'running', 'outcome_unknown', 'succeeded')",
            state_operations=[migrations.RemoveConstraint("execution", "execution_undone_once")],
        ),
        BuildIndex("attempt_by_id", "ON integrations_attempt (id, execution_id)", is_unique=True),
        BuildIndex("attempt_by_tenant", "ON integrations_attempt (tenant_id, execution_id, id)", is_unique=True),
        Patiently(
            "ALTER TABLE integrations_attempt DROP CONSTRAINT integrations_attempt_pkey, "
            "DROP CONSTRAINT attempt_tenant_id_key, "
            "ADD CONSTRAINT integrations_attempt_pkey PRIMARY KEY USING INDEX attempt_by_id, "
            "ADD CONSTRAINT attempt_tenant_id_key UNIQUE USING INDEX attempt_by_tenant",
            "ALTER TABLE integrations_attempt DROP CONSTRAINT integrations_attempt_pkey, "
            "DROP CONSTRAINT attempt_tenant_id_key, "
            "ADD CONSTRAINT integrations_attempt_pkey PRIMARY KEY (id), "
            "ADD CONSTRAINT attempt_tenant_id_key UNIQUE (tenant_id, id)",
            state_operations=[
                migrations.RemoveConstraint("attempt", "attempt_tenant_id_key"),
                migrations.AddConstraint(
                    "attempt",
                    models.UniqueConstraint(fields=("tenant", "execution", "id"), name="attempt_tenant_id_key"),
                ),
            ],
        ),
    ]
