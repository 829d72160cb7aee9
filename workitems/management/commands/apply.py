from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any, Final

from django.core.management.base import CommandParser

from threada_site.database.unit_of_work import unit_of_work
from threada_site.kernel.errors import DocumentInvalid
from threada_site.tenancy.management.base import TenantCommand
from workitems.configuration.apply import Applied, Outcome, apply_documents, read_documents
from workitems.configuration.plans import Plan, plan_documents
from workitems.configuration.probable_mistakes import LISTED_WARNING

CHANGES: Final = 2
"""Exit status of `--plan --exit-code` if something would change."""


class Command(TenantCommand):
    help = "Apply configuration documents (roles, groups, workflows, integrations, policies, …): all of them or none."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("path", type=Path, help="a YAML or JSON file, or a folder of them")
        parser.add_argument("--tenant", required=True, help="the tenant's slug")
        parser.add_argument("--plan", action="store_true", help="show the changes without applying them")
        parser.add_argument(
            "--exit-code", action="store_true", help="with --plan: exit with 2 if something would change, with 0 if not"
        )
        parser.add_argument("--json", action="store_true", help="print the plan or the result as JSON")
        parser.add_argument("--strict", action="store_true", help="refuse documents with warnings")
        parser.add_argument("--prune", action="store_true", help="also remove objects that no document describes")
        parser.add_argument(
            "--revision", default="", help="revision of the files, such as a git commit; stored with new versions"
        )

    def run_command(self, **options: Any) -> None:
        if options["exit_code"] and not options["plan"]:
            self.refuse("--exit-code is for --plan.")
        ctx = self.command_context(options["tenant"])
        prune, is_strict, digest = options["prune"], options["strict"], None
        try:
            documents = read_documents(options["path"])
            with unit_of_work(ctx.tenant_id):
                if options["plan"]:
                    plan: Plan = plan_documents(documents, ctx=ctx, prune=prune, is_strict=is_strict)
                    done, digest = plan.outcome, plan.digest
                else:
                    revision = options["revision"].strip()
                    done = apply_documents(
                        documents, ctx=ctx, prune=prune, revision=revision, is_strict=is_strict, is_baseline=True
                    )
        except DocumentInvalid as error:
            self._refuse_documents(error, as_json=options["json"])
        if options["json"]:
            self.stdout.write(json.dumps(_as_json(done, digest), indent=2, ensure_ascii=False))
        else:
            self._tell(done, is_plan=options["plan"])
        if options["exit_code"] and done.changes:
            sys.exit(CHANGES)

    def _refuse_documents(self, error: DocumentInvalid, *, as_json: bool) -> None:
        if as_json:
            errors = [{"detail": entry.detail, "pointer": entry.pointer, "code": entry.code} for entry in error.errors]
            self.stdout.write(json.dumps({"reason_code": error.reason_code, "errors": errors}, ensure_ascii=False))
        lines = [entry.detail for entry in error.errors]
        self.refuse(*([error.detail] if error.detail not in lines else []), *lines)

    def _tell(self, done: Outcome, *, is_plan: bool) -> None:
        for entry in done.applied:
            self.stdout.write(_line(entry))
            for warning in entry.warnings:
                self.stdout.write(f"    warning: {warning}")
            if is_plan and entry.difference:
                self.stdout.write("".join(f"    {line}" for line in entry.difference.splitlines(keepends=True)))
        for named in done.removed:
            self.stdout.write(f"- {named.kind} {named.name} ({'would be removed' if is_plan else 'removed'})")
        for named in done.left:
            self.stdout.write(f"? {named.kind} {named.name} (in no document; --prune removes it)")
        for warned in done.warnings:
            if warned.code != LISTED_WARNING:
                self.stderr.write(f"warning: {warned.detail}")
        if is_plan and done.needs_confirmation:
            self.stdout.write("A second person must publish these changes.")
        verb = "would be changed" if is_plan else "changed"
        self.stdout.write(f"{len(done.applied)} documents, {len(done.changes)} {verb}.")


def _as_json(done: Outcome, digest: str | None) -> dict[str, Any]:
    """Return a plan or a result as `/configuration/plan` and `/configuration/apply` answer it."""
    plan = {"digest": digest, "has_changes": bool(done.changes), "needs_confirmation": done.needs_confirmation}
    left = [{"kind": entry.kind, "name": entry.name} for entry in done.left]
    warnings = [{"detail": entry.detail, "pointer": entry.pointer, "code": entry.code} for entry in done.warnings]
    result = {"documents": len(done.applied), "changes": done.differences, "warnings": warnings}
    return result if digest is None else {**plan, **result, "left": left}


def _line(entry: Applied) -> str:
    mark = {"created": "+", "changed": "~", "unchanged": " "}[entry.change.value]
    return f"{mark} {entry.kind} {entry.name} ({entry.change.value})"
