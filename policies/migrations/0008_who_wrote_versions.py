from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("policies", "0007_emergency_publications")]

    operations = [
        migrations.RunSQL(
            "UPDATE policies_policyversion SET written_by = ARRAY[created_by] "
            "WHERE created_by IS NOT NULL AND cardinality(written_by) = 0",
            migrations.RunSQL.noop,
        )
    ]
