from django.db import migrations

from threada_site.database.partitioning import PartitionByMonth


class Migration(migrations.Migration):
    atomic = False

    dependencies = [("telemetry", "0001_initial")]

    operations = [PartitionByMonth("receipt")]
