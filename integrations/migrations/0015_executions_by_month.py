from django.db import migrations

from threada_site.database.partitioning import PartitionByMonth


class Migration(migrations.Migration):
    """Executions first: attempts refer to them, and only a plain table takes a reference that is validated later."""

    atomic = False

    dependencies = [("integrations", "0014_keys_for_months")]

    operations = [PartitionByMonth("execution"), PartitionByMonth("attempt", by="execution")]
