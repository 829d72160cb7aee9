from django.db import migrations

from threada_site.database.partitioning import PartitionByMonth


class Migration(migrations.Migration):
    """Partition executions before attempts, which refer to them."""

    atomic = False

    dependencies = [("integrations", "0001_initial")]

    operations = [
        migrations.RunSQL(
            "ALTER TABLE integrations_attempt DROP CONSTRAINT integrations_attempt_pkey, "
            "ADD CONSTRAINT integrations_attempt_pkey PRIMARY KEY (id, execution_id)",
            "ALTER TABLE integrations_attempt DROP CONSTRAINT integrations_attempt_pkey, "
            "ADD CONSTRAINT integrations_attempt_pkey PRIMARY KEY (id)",
        ),
        PartitionByMonth("execution"),
        PartitionByMonth("attempt", by="execution"),
    ]
