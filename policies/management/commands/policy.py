from __future__ import annotations

import difflib
from pathlib import Path
from typing import Any

import orjson
from django.core.management.base import CommandParser

from policies import selectors
from policies.api.resources.trials import SIMULATION
from policies.documents.policy import parse_policy
from policies.drafts.edit import policy_spec
from policies.drafts.rule_test_results import current_lists, rule_test_errors
from policies.drafts.validation import validate_policy
from policies.evaluator.runs import unlocked_run
from policies.management import replays
from policies.management.policy_files import PolicyFile, read_policy, read_value
from policies.models import Policy, PolicyVersion
from policies.publication.publish import publish_policy_version, retire_policy_version
from policies.replay.candidate import candidate_of, candidate_version
from policies.replay.simulate import simulate
from threada_site.admin.documents import as_yaml
from threada_site.database.unit_of_work import unit_of_work
from threada_site.kernel.context import ActingContext
from threada_site.tenancy.management.base import TenantCommand


class Command(TenantCommand):
    uses_keys = True
    help = "Validate, simulate, compare, publish and retire policies. Exit codes: 0 success, 1 refused, 2 wrong usage."

    def add_arguments(self, parser: CommandParser) -> None:
        actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
        validate = actions.add_parser("validate", help="dry-run the publication checks on a document")
        validate.add_argument("file", type=Path)
        test = actions.add_parser("test", help="run the tests of a document")
        test.add_argument("file", type=Path)
        test.add_argument("--tenant", help="the tenant whose lists the rules read")
        simulate = actions.add_parser("simulate", help="evaluate a version or draft on one set of facts")
        simulate.add_argument("--facts", type=Path, required=True, help="YAML or JSON: item, ctx, input; - reads stdin")
        replay = actions.add_parser("replay", help="evaluate a version or draft on recorded decisions")
        replays.add_arguments(replay)
        diff = actions.add_parser("diff", help="compare two versions, or a draft with the version in force")
        diff.add_argument("--to", metavar="VERSION", help="compare with this version; default: the version in force")
        diff.add_argument("--exit-code", action="store_true", help="exit with 1 when anything differs")
        publish = actions.add_parser("publish", help="publish a draft")
        publish.add_argument("--applies-to-open", action="store_true", help="re-evaluate open steps")
        retire = actions.add_parser("retire", help="retire a version")
        for named in (simulate, diff, publish, retire):
            named.add_argument("policy", metavar="POLICY")
        for chosen in (publish, retire):
            chosen.add_argument("--version", required=True, help="number or pv_… id")
        for asked in (simulate, diff):
            what = asked.add_mutually_exclusive_group()
            what.add_argument("--draft", type=Path, metavar="FILE", help="a Policy document")
            what.add_argument("--version", help="number or pv_… id; default: the version in force")
        for inside in (validate, simulate, replay, diff, publish, retire):
            inside.add_argument("--tenant", required=True, help="the tenant's slug")
        for reported in (validate, test, simulate):
            reported.add_argument("--json", action="store_true", help="print JSON alone")

    def run_command(self, **options: Any) -> None:
        action = options.pop("action")
        if options.get("tenant") is None:
            self._test(options, None)
            return
        ctx = self.command_context(options["tenant"])
        if action == "replay":
            replays.replay(self, options, ctx)
            return
        with unit_of_work(ctx.tenant_id):
            getattr(self, f"_{action}")(options, ctx)

    def _validate(self, options: dict[str, Any], ctx: ActingContext) -> None:
        file = read_policy(options["file"])
        spec = self._spec(file)
        policy = selectors.policy_by_slug(file.named_id, ctx=ctx) if file.named_id else None
        found = validate_policy(spec, policy=policy or Policy(tenant_id=ctx.tenant_id), ctx=ctx)
        errors = [file.at(error, file.prefix) for error in found.errors]
        warnings = [file.at(warning, file.prefix) for warning in found.warnings]
        if options["json"]:
            reported = {
                name: [entry.as_json() for entry in entries]
                for name, entries in (("errors", errors), ("warnings", warnings))
            }
            self._print({"valid": not errors, "workflows": list(found.workflows), **reported})
        elif not errors:
            reached = ", ".join(found.workflows) or "no workflow yet"
            self.stdout.write(f"Valid. Conditions were checked against: {reached}.")
            for warning in warnings:
                self.stdout.write(f"{warning.pointer} warning: {warning.detail}")
        if errors:
            lines = [] if options["json"] else [f"{error.pointer} {error.detail}" for error in errors]
            self.refuse(*lines)

    def _test(self, options: dict[str, Any], ctx: ActingContext | None) -> None:
        file = read_policy(options["file"])
        with file.located():
            document = parse_policy(file.value)
        if ctx:
            errors = rule_test_errors(document, lists=current_lists(ctx), ctx=ctx)
        else:
            with unlocked_run() as run:
                errors = tuple(run.test_errors(document, {}))
        failed = [file.at(error, file.prefix) for error in errors]
        if options["json"]:
            self._print(
                {
                    "tests": len(document.tests),
                    "failed": len(failed),
                    "errors": [error.as_json() for error in failed],
                }
            )
        else:
            self.stdout.write(f"{len(document.tests)} tests, {len(failed)} failed.")
        if failed:
            self.refuse(*([] if options["json"] else [f"{error.pointer} {error.detail}" for error in failed]))

    def _simulate(self, options: dict[str, Any], ctx: ActingContext) -> None:
        policy = self._policy(options["policy"], ctx)
        if options["draft"]:
            file = read_policy(options["draft"], policy=policy.slug)
            candidate = candidate_of(policy.slug, self._spec(file))
        else:
            candidate = candidate_version(self._version(policy, options["version"]))
        simulation = simulate(candidate, read_value(options["facts"]), ctx=ctx)
        if options["json"]:
            self._print(SIMULATION.represent(simulation))
            return
        verdict = simulation.verdict
        self.stdout.write(f"{verdict.outcome}: {', '.join(verdict.reason_codes)}")
        if not simulation.applies:
            self.stdout.write(f"No overlay binds {policy.slug} to the case, so the result ignores it.")
        for rule in simulation.matched:
            self.stdout.write(f"  {rule['policy']}/{rule['rule']} says {rule['effect']} ({rule['reason']})")
        for error in verdict.errors:
            self.stdout.write(f"  {error.policy}/{error.rule}: {error.message}")

    def _diff(self, options: dict[str, Any], ctx: ActingContext) -> None:
        policy = self._policy(options["policy"], ctx)
        if options["draft"]:
            new, name = self._spec(read_policy(options["draft"], policy=policy.slug)), str(options["draft"])
        else:
            version = self._version(policy, options["version"])
            new, name = version.document, f"v{version.number}"
        base = self._version(policy, options["to"])
        lines = list(
            difflib.unified_diff(
                as_yaml(base.document).splitlines(),
                as_yaml(new).splitlines(),
                f"v{base.number}",
                name,
                lineterm="",
            )
        )
        for line in lines:
            self.stdout.write(line)
        if lines and options["exit_code"]:
            self.refuse()

    def _publish(self, options: dict[str, Any], ctx: ActingContext) -> None:
        version = self._version(self._policy(options["policy"], ctx), options["version"])
        published = publish_policy_version(version, ctx=ctx, applies_to_open=options["applies_to_open"])
        self.stdout.write(f"{published.public_id} (version {published.number}) is in force.")
        for warning in published.warnings:
            self.stdout.write(f"{warning.pointer} warning: {warning.detail}")

    def _retire(self, options: dict[str, Any], ctx: ActingContext) -> None:
        version = self._version(self._policy(options["policy"], ctx), options["version"])
        retired = retire_policy_version(version, ctx=ctx)
        self.stdout.write(f"{retired.public_id} (version {retired.number}) is retired.")

    def _spec(self, file: PolicyFile) -> Any:
        """Return the spec of a file if it is valid."""
        with file.located():
            return policy_spec(file.value, slug=file.named_id or "")

    def _policy(self, slug: str, ctx: ActingContext) -> Policy:
        policy = selectors.policy_by_slug(slug, ctx=ctx)
        if policy is None:
            self.refuse(f"There is no policy {slug!r} in this tenant.")
        return policy

    def _version(self, policy: Policy, name: str | None) -> PolicyVersion:
        if name is None:
            version = policy.in_force
            if version is None:
                self.refuse(f"No version of {policy.slug} is in force. Name one with --version.")
            version.policy = policy
            return version
        found = selectors.policy_version_named(policy, name)
        if found is None:
            self.refuse(f"The policy {policy.slug} has no version {name!r}.")
        return found

    def _print(self, value: Any) -> None:
        self.stdout.write(orjson.dumps(value).decode())
