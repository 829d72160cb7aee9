from django.db import migrations

from workitems.migrations._0002.forget_unknown import forget_unknown


class Migration(migrations.Migration):
    """Open steps forget the controllers of agents and services that nobody is known to control now.

    An earlier version stored those whom it knew, for example an agent without an owner that had added another one.
    """

    atomic = False
    compatible_with_running_code = True
    dependencies = [("workitems", "0001_initial"), ("tenancy", "0004_known_control")]
    operations = [migrations.RunPython(forget_unknown, migrations.RunPython.noop)]
