from django.db import migrations

BATCH = 5_000
EMPTY = """
UPDATE api_idempotencyrecord SET response = ''
 WHERE id IN (SELECT id FROM api_idempotencyrecord
               WHERE substring(response FROM 1 FOR 1) IN ('\\x7b'::bytea, '\\x5b', '\\x22', '\\x6e') LIMIT %s)
"""


def empty_in_batches(_apps, schema_editor):
    """Empty answers that begin like JSON: an object, a list, a text or null."""
    with schema_editor.connection.cursor() as cursor:
        cursor.execute(EMPTY, [BATCH])
        while cursor.rowcount:
            cursor.execute(EMPTY, [BATCH])


empty_in_batches.batch_size = BATCH


class Migration(migrations.Migration):
    """Empty the answers under idempotency keys that earlier versions stored without encryption.

    Their keys, digests, statuses and headers stay: the work is not done again.
    """

    atomic = False
    compatible_with_running_code = True
    dependencies = [("api", "0001_initial")]

    operations = [migrations.RunPython(empty_in_batches, migrations.RunPython.noop)]
