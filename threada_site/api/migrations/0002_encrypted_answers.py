from django.db import migrations


class Migration(migrations.Migration):
    """Empty the answers under idempotency keys that earlier versions stored without encryption.

    Their keys, digests, statuses and headers stay: the work is not done again.
    """

    dependencies = [("api", "0001_initial")]

    operations = [
        migrations.RunSQL(
            "UPDATE api_idempotencyrecord SET response = '' "
            "WHERE substring(response FROM 1 FOR 1) IN ('\\x7b'::bytea, '\\x5b'::bytea, '\\x22'::bytea, '\\x6e'::bytea)",
            migrations.RunSQL.noop,
        ),
    ]
