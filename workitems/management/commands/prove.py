from __future__ import annotations

import json
from typing import Any

from django.core.management.base import CommandParser

from threada_site.tenancy.management.base import TenantCommand
from workitems.proof.prove import MOST_SECONDS
from workitems.proof.results import Proof
from workitems.proof.stored_runs import prove_and_store


class Command(TenantCommand):
    help = (
        "Check the product's promises against the configuration of a tenant, with cases that are rolled back. "
        "Exit status 1 if a check fails, or if none passes."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--tenant", required=True, help="slug of the tenant")
        parser.add_argument("--json", action="store_true", help="print the findings as JSON")
        parser.add_argument(
            "--seconds",
            type=float,
            default=MOST_SECONDS,
            help="longest transaction of a case, in which rows of the tenant may be locked (1)",
        )

    def run_command(self, **options: Any) -> None:
        proof = prove_and_store(self.command_context(options["tenant"]), seconds=options["seconds"])
        if options["json"]:
            self.stdout.write(json.dumps(proof.as_json(), indent=2, ensure_ascii=False))
        else:
            self._print(proof)
        if not proof.findings:
            self.refuse("There is no case to check: give the policies tests with payloads of workflows with actions.")
        if not proof.holds:
            self.refuse("Not every promise holds with this configuration; see above.")

    def _print(self, proof: Proof) -> None:
        for check, promise in proof.promises.items():
            self.stdout.write(f"{proof.result_of(check).value.upper():15}{promise}")
            for finding in proof.findings:
                if finding.check == check:
                    self.stdout.write(f"  {finding.result.value:15}{finding.text}\n                 {finding.case}")
