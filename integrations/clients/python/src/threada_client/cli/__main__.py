"""Entry point of the command `threada`."""

from __future__ import annotations

from importlib.metadata import entry_points

import click

from threada_client.cli.account import completion, login, logout, me
from threada_client.cli.cases import decide, explain, submit, wait
from threada_client.cli.configuration import apply, plan
from threada_client.cli.exit_codes import end_with
from threada_client.cli.hooks import hook
from threada_client.cli.receipts import export, verify
from threada_client.errors import ThreadaError


@click.group(
    commands=[login, logout, me, submit, wait, decide, explain, plan, apply, export, verify, hook, completion],
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Exit codes: 0 done, 1 the answer is no, 2 wrong use, 3 invalid, 4 not authorized, 5 refused by policy, "
    "6 unavailable, 7 timed out, 8 a plan has changes.",
)
@click.version_option(package_name="threada-client")
def threada() -> None:
    """Work with Threada. THREADA_URL and THREADA_TOKEN take the place of `threada login`."""


def main() -> None:
    """Run `threada`. If the server is installed in this environment, it runs its commands, and ours for other words."""
    for server in entry_points(group="threada.server_commands"):
        server.load()()
        return
    run()


def run() -> None:
    """Run a command of the client. Failures of calls become exit codes."""
    try:
        threada(prog_name="threada")
    except ThreadaError as error:
        end_with(error)


if __name__ == "__main__":
    main()
