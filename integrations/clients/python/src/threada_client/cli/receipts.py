"""Commands about receipts: export, verify."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from threada_client import threada_verify
from threada_client.cli.credentials import client
from threada_client.cli.exit_codes import UNAVAILABLE
from threada_client.cli.output import show_fields, show_json


@click.command()
@click.argument("path", type=click.Path(dir_okay=False, path_type=Path))
@click.option("--work-item", help="Only the receipts of this work item.")
@click.option("--workflow", help="Only the receipts of this workflow.")
@click.option("--created-after", help="Start of the time range (RFC 3339).")
@click.option("--created-before", help="End of the time range (RFC 3339).")
@click.option("--evidence", is_flag=True, help="Write a ZIP file with proofs, for `threada verify`.")
@click.option("--timeout", default=600.0, show_default=True, help="Seconds.")
@click.option("--json", "is_json", is_flag=True, help="Print JSON.")
def export(
    path: Path,
    work_item: str | None,
    workflow: str | None,
    created_after: str | None,
    created_before: str | None,
    evidence: bool,
    timeout: float,
    is_json: bool,
) -> None:
    """Write receipts to PATH as NDJSON, byte for byte as they were hashed."""
    filters = {"work_item_id": work_item, "workflow_id": workflow}
    with client() as threada:
        asked = threada.create_export(
            filters={name: value for name, value in filters.items() if value},
            created_after=created_after,
            created_before=created_before,
        )
        done = threada.wait_for_export(asked["export_id"], timeout=timeout)
        if done["status"] == "ready":
            download = threada.download_evidence if evidence else threada.download_export
            download(done["export_id"], path)
    if is_json:
        show_json(done)
    else:
        show_fields(done, ("export_id", "status", "rows", "size", "sha256", "failure"))
    if done["status"] != "ready":
        sys.exit(UNAVAILABLE)


@click.command(context_settings={"ignore_unknown_options": True, "help_option_names": []})
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def verify(arguments: tuple[str, ...]) -> None:
    """Verify exported evidence offline: threada verify --key KEY evidence.zip."""
    sys.exit(threada_verify.main(list(arguments)))
