#!/usr/bin/env python
"""Management commands: `up`, `apply`, `create_credential` and the rest (`manage.py help`)."""

import os
import sys


def main() -> None:
    # Selects the database login of this process if the web has its own login.
    os.environ["THREADA_PROCESS"] = "web" if sys.argv[1:2] == ["web"] else "platform"
    if sys.argv[1:2] == ["sealer"]:  # holds the signing key, and loads as little as it can: no Django
        from threada_site.runtime.sealer.process import main as run_sealer

        sys.exit(run_sealer(sys.argv[2:]))

    from django.core.management import execute_from_command_line

    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "threada_site.settings")
    execute_from_command_line(sys.argv)


if __name__ == "__main__":
    main()
