"""Commands about the credential and the shell: login, logout, me, completion."""

from __future__ import annotations

import sys

import click
from click.shell_completion import get_completion_class

from threada_client.cli.credentials import client, connected, forget, store
from threada_client.cli.output import show_fields, show_json


@click.command()
@click.argument("url")
@click.option("--token-stdin", is_flag=True, help="Read the token from standard input.")
def login(url: str, token_stdin: bool) -> None:
    """Check a token at URL and store both in a file that only you may read."""
    token = sys.stdin.readline().strip() if token_stdin else click.prompt("Token", hide_input=True)
    with connected(url, token) as threada:
        me = threada.me()
    path = store(url, token)
    show_fields(me, ("name", "kind", "tenant", "credential_expires_at"))
    click.echo(f"Stored in {path}.")


@click.command()
def logout() -> None:
    """Remove the stored token from this machine. It stays valid: revoke it in the console."""
    forget()


@click.command()
@click.option("--json", "is_json", is_flag=True, help="Print JSON.")
def me(is_json: bool) -> None:
    """Show the principal, roles and scopes of the token."""
    with client() as threada:
        found = threada.me()
    if is_json:
        show_json(found)
    else:
        show_fields(found, ("name", "kind", "tenant", "roles", "groups", "scopes", "credential_expires_at"))


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def completion(context: click.Context, shell: str) -> None:
    """Print the completion script of a shell: eval "$(threada completion bash)"."""
    kind = get_completion_class(shell)
    if kind is None:
        raise click.UsageError(f"There is no completion for {shell}.")
    click.echo(kind(context.find_root().command, {}, "threada", "_THREADA_COMPLETE").source())
