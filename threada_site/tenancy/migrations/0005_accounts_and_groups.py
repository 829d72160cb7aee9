from django.db import migrations, models

from threada_site.kernel import ids


class Migration(migrations.Migration):
    """Ids of new accounts without a time, and the time since which a provisioned group has its name.

    Older code goes on to give accounts ids with a time, and leaves the column empty: such a group counts as named before
    every version of an identity provider.
    """

    compatible_with_running_code = True

    dependencies = [
        ("tenancy", "0004_known_control"),
    ]

    operations = [
        migrations.AlterField(
            model_name="user",
            name="id",
            field=models.UUIDField(default=ids.new_account_id, editable=False, primary_key=True, serialize=False),
        ),
        migrations.AddField(
            model_name="provisionedgroup",
            name="named_at",
            field=models.DateTimeField(
                editable=False,
                help_text="Time since which it has its name; empty: before this column existed.",
                null=True,
            ),
        ),
    ]
