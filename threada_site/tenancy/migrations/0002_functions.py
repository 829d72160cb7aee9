from pathlib import Path

from django.db import migrations

SQL = Path(__file__).resolve().parent / "_v1"


class Migration(migrations.Migration):
    """Functions that read guardian's tables, which refer to the user model of this app's first migration.

    And an index by which waiting jobs of procrastinate are found again.
    """

    dependencies = [
        ("tenancy", "0001_initial"),
        ("guardian", "0003_remove_groupobjectpermission_guardian_gr_content_ae6aec_idx_and_more"),
        ("procrastinate", "0041_post_retry_failed_job"),
    ]

    operations = [
        migrations.RunSQL(
            (SQL / "permission_changes.sql").read_text(),
            "DROP FUNCTION threada_note_permission_change() CASCADE; "
            "DROP FUNCTION threada_forget_permission_changes() CASCADE; DROP TABLE tenancy_permissionchange;",
        ),
        migrations.RunSQL(
            "CREATE INDEX threada_jobs_subject ON procrastinate_jobs "
            "((coalesce(args->>'execution_id', args->>'work_item_id'))) WHERE status = 'todo';",
            "DROP INDEX threada_jobs_subject;",
        ),
        migrations.RunSQL(
            (SQL / "functions.sql").read_text(),
            "DROP FUNCTION threada_tenant_of_link(bytea); DROP FUNCTION threada_belongs_elsewhere(uuid, uuid); "
            "DROP FUNCTION threada_is_member_somewhere(uuid); "
            "DROP FUNCTION threada_enter(bytea, text, text, pg_snapshot, text); DROP FUNCTION threada_tenants_of(uuid); "
            "DROP FUNCTION threada_names(uuid, uuid); "
            "DROP FUNCTION threada_controllers(uuid, uuid); DROP FUNCTION threada_grants(uuid, uuid); DROP FUNCTION threada_belongs(text, text, uuid);",
        ),
        migrations.RunSQL(
            (SQL / "rate_buckets.sql").read_text(),
            "DROP FUNCTION threada_lease_tokens(text[], double precision[], double precision[], double precision[], "
            "text[], bigint[]);",
        ),
        migrations.RunSQL(
            (SQL / "workloads.sql").read_text(),
            "DROP FUNCTION threada_enter_workload(uuid, text, text[]); "
            "DROP FUNCTION threada_trusted_issuers(text, text[]);",
        ),
    ]
