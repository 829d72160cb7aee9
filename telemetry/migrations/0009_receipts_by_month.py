from django.db import migrations

from threada_site.database.partitioning import PartitionByMonth


class Migration(migrations.Migration):
    atomic = False

    dependencies = [
        ("telemetry", "0008_instance_log"),
        ("tenancy", "0010_partitions"),
    ]

    operations = [PartitionByMonth("receipt")]
