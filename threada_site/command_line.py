"""Command line of Threada: `manage.py` in a checkout, `threada` in an installed wheel.

The Python client has a command `threada` too. If both are installed in one environment, this one runs the commands of
both: a word that is no management command goes to the client.
"""

from __future__ import annotations

import os
import sys
from importlib.metadata import entry_points

from threada_site.environment import IS_INSTALLED, name_process

CLIENT_COMMANDS = "threada.client_commands"
"""Group of entry points under which the Python client registers its command line."""


def main() -> None:
    """Run the command that the arguments name."""
    command = sys.argv[1] if len(sys.argv) > 1 else "help"
    # Selects the database login of this process if the web has its own login, and the time of its statements.
    os.environ["THREADA_PROCESS"] = command if command in ("web", "worker") else "platform"
    if IS_INSTALLED:
        os.environ["PYTHONSAFEPATH"] = "1"  # started processes import nothing from the current directory
    name_process(command)
    if command == "sealer":  # holds the signing key, and loads as little as it can: no Django
        from threada_site.runtime.sealer.process import main as run_sealer

        sys.exit(run_sealer(sys.argv[2:]))

    from django.core.management import execute_from_command_line

    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "threada_site.settings")
    if IS_INSTALLED and not command.startswith("-") and _run_by_client(command):
        return
    execute_from_command_line(sys.argv)


def _run_by_client(command: str) -> bool:
    """Run a command of the client, if it is one and no management command. Return True if it was run."""
    clients = list(entry_points(group=CLIENT_COMMANDS))
    if not clients:
        return False
    import django
    from django.core.management import get_commands

    django.setup()  # only then are the commands of all apps known
    if command in {"help", *get_commands()}:
        return False
    try:
        run = clients[0].load()
    except ImportError:  # without its extra `cli`
        return False
    run()
    return True


if __name__ == "__main__":
    main()
