from django.db import migrations, models

import threada_site.kernel.clock


class Migration(migrations.Migration):
    dependencies = [
        ("tenancy", "0010_partitions"),
    ]

    operations = [
        migrations.CreateModel(
            name="Instance",
            fields=[
                ("id", models.SmallIntegerField(default=1, editable=False, primary_key=True, serialize=False)),
                ("salt", models.BinaryField(editable=False)),
                ("facts", models.JSONField(default=dict, editable=False)),
                ("made_at", models.DateTimeField(default=threada_site.kernel.clock.now, editable=False)),
            ],
            options={
                "constraints": [models.CheckConstraint(condition=models.Q(("id", 1)), name="instance_one_row")],
            },
        ),
    ]
