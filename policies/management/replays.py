"""`manage.py policy replay`: request a replay, run it in this process, and print progress and results."""

from __future__ import annotations

import sys
import time
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import orjson
from django.core.management.base import CommandParser

from policies import selectors
from policies.documents.overlay import parse_overlay
from policies.lifecycle import ReplayStatus
from policies.management.policy_files import read_overlays, read_policy
from policies.models import Policy, PolicyReplay, PolicyVersion
from policies.replay.reports import list_json
from policies.replay.request import (
    Against,
    ReplayRequest,
    cancel_replay,
    request_document_replay,
    request_replay,
    resume_replay,
)
from policies.replay.run import run_replay
from policies.replay.summary import why_sentence
from threada_site.database.unit_of_work import unit_of_work
from threada_site.kernel import ids
from threada_site.kernel.context import ActingContext
from threada_site.tenancy.management.base import TenantCommand

_POLL_S: Final = 1.0
_WAIT_MS: Final = 60_000


def add_arguments(parser: CommandParser) -> None:
    parser.add_argument("policy", metavar="POLICY")
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--draft", type=Path, metavar="FILE", help="a Policy document")
    what.add_argument("--version", help="number or pv_… id; default: the version in force")
    what.add_argument("--resume", metavar="rp_…", help="resume a replay that was cancelled or failed")
    parser.add_argument("--overlays", type=Path, metavar="FILE", help="Overlay documents with other scopes")
    parser.add_argument("--from", dest="after", metavar="INSTANT", help="a day or RFC 3339; default: the beginning")
    parser.add_argument("--to", dest="before", metavar="INSTANT", help="a day or RFC 3339, exclusive; default: now")
    parser.add_argument(
        "--against",
        choices=[entry.value for entry in Against],
        default=Against.IN_FORCE.value,
        help="compare with the version in force, or with the recorded decisions",
    )
    parser.add_argument("--fail-on-flips", action="store_true", help="exit with 1 when anything flips")
    parser.add_argument("--json", action="store_true", help="print JSON alone")


def replay(command: TenantCommand, options: dict[str, Any], ctx: ActingContext) -> None:
    """Run a replay to its end. Progress goes to standard error; Ctrl-C cancels the replay."""
    asked = _asked(command, options, ctx)
    progress = _ProgressPrinter(command)
    try:
        if not run_replay(asked.id, ctx=ctx, after_batch=progress.print_progress, wait_ms=_WAIT_MS):
            _watch(asked.id, progress, ctx)
    except KeyboardInterrupt:
        with unit_of_work(ctx.tenant_id):
            cancel_replay(_found(asked.id, ctx), ctx=ctx)
        progress.end()
        command.refuse(f"Cancelled. Resume: manage.py policy replay {options['policy']} --resume {asked.public_id}")
    progress.end()
    with unit_of_work(ctx.tenant_id):
        done = _found(asked.id, ctx)
    if done.status != ReplayStatus.FINISHED:
        command.refuse(f"The replay {done.public_id} is {done.status} {done.failure}".rstrip() + ".")
    if options["json"]:
        for block in _as_json(done):
            command.stdout.write(block, ending="")
        command.stdout.write("")
    else:
        _print(command, done)
    if options["fail_on_flips"] and done.flipped:
        command.refuse(*([] if options["json"] else [f"{done.flipped} decisions flip."]))


def _asked(command: TenantCommand, options: dict[str, Any], ctx: ActingContext) -> PolicyReplay:
    request = ReplayRequest(
        created_after=_instant(command, options["after"], "--from"),
        created_before=_instant(command, options["before"], "--to"),
        against=Against(options["against"]),
        scopes=_scopes(options),
    )
    with unit_of_work(ctx.tenant_id):
        policy = selectors.policy_by_slug(options["policy"], ctx=ctx)
        if policy is None:
            command.refuse(f"There is no policy {options['policy']!r} in this tenant.")
        if options["resume"]:
            return _resumed(command, options["resume"], policy, ctx)
        if options["draft"]:
            file = read_policy(options["draft"], policy=policy.slug)
            with file.located():
                return request_document_replay(policy, file.value, request, ctx=ctx, by_job=False)
        version = _version(command, policy, options["version"])
        return request_replay(version, request, ctx=ctx, by_job=False)


def _resumed(command: TenantCommand, name: str, policy: Policy, ctx: ActingContext) -> PolicyReplay:
    replay_id = ids.parse_public_id(ids.POLICY_REPLAY, name)
    rows = PolicyReplay.objects.select_for_update(of=("self",)).filter(tenant_id=ctx.tenant_id, policy=policy)
    found = rows.select_related("policy").filter(id=replay_id).first() if replay_id else None
    if found is None:
        command.refuse(f"There is no replay {name!r} of {policy.slug} in this tenant.")
    resume_replay(found, ctx=ctx, by_job=False)
    return found


def _version(command: TenantCommand, policy: Policy, name: str | None) -> PolicyVersion:
    version = policy.in_force if name is None else selectors.policy_version_named(policy, name)
    if version is None:
        command.refuse(f"The policy {policy.slug} has no version {name or 'in force'}.")
    version.policy = policy
    return version


def _scopes(options: dict[str, Any]) -> Any:
    if not options["overlays"]:
        return None
    found = read_overlays(options["overlays"], policy=options["policy"])
    return tuple(parse_overlay({"kind": "Overlay", **value}).scope for value in found)


def _watch(replay_id: uuid.UUID, progress: _ProgressPrinter, ctx: ActingContext) -> None:
    """Poll a replay that a worker runs until it has ended."""
    while True:
        with unit_of_work(ctx.tenant_id):
            found = _found(replay_id, ctx)
        progress.print_progress(found)
        if found.status not in (ReplayStatus.REQUESTED, ReplayStatus.RUNNING):
            return
        time.sleep(_POLL_S)


class _ProgressPrinter:
    """Prints progress to standard error; on a terminal the line is overwritten."""

    def __init__(self, command: TenantCommand) -> None:
        self._stream = command.stderr
        self._overwrites = sys.stderr.isatty()
        self._printed_percent = -1

    def print_progress(self, replay: PolicyReplay) -> None:
        if replay.percent == self._printed_percent:
            return
        self._printed_percent = replay.percent
        line = f"{replay.public_id} {replay.percent:3d} %: {replay.replayed:,} replayed, {replay.flipped:,} flipped"
        if self._overwrites:
            self._stream.write(f"\r{line}", ending="")
        else:
            self._stream.write(line)

    def end(self) -> None:
        if self._overwrites:
            self._stream.write("")


def _as_json(done: PolicyReplay) -> Iterator[str]:
    """Yield `{"replayed", "flipped", "not_replayable", "flips"}` in pieces, because there may be many flips."""
    head = {"replayed": done.replayed, "flipped": done.flipped, "not_replayable": done.not_replayable}
    yield orjson.dumps(head).decode()[:-1] + ',"flips":'
    yield from list_json(done, "flip")
    yield "}"


def _print(command: TenantCommand, done: PolicyReplay) -> None:
    out, summary = command.stdout, done.summary
    out.write(f"{done.replayed} replayed, {done.flipped} flipped, {done.not_replayable} not replayable.")
    for flip in summary.get("flips", []):
        before, after = flip["from"], flip["to"]
        labels = [f"{side['effect']} ({', '.join(side['reasons'])})" for side in (before, after)]
        out.write(f"  {flip['count']} from {labels[0]} to {labels[1]}, e.g. {flip['examples'][0]}")
    for reason, counts in summary.get("not_replayable_because", {}).items():
        rules = ", ".join(name for name in counts if name != "count")
        out.write(f"  {counts['count']} not replayable: {why_sentence(reason)}" + (f" ({rules})" if rules else ""))
    people = summary.get("people", {"more": 0, "fewer": 0})
    if people["more"] or people["fewer"]:
        out.write(f"  People asked: {people['more']} more, {people['fewer']} fewer.")


def _found(replay_id: uuid.UUID, ctx: ActingContext) -> PolicyReplay:
    rows = PolicyReplay.objects.select_related("policy", "policy_version", "baseline")
    return rows.get(tenant_id=ctx.tenant_id, id=replay_id)


def _instant(command: TenantCommand, text: str | None, option: str) -> datetime | None:
    if text is None:
        return None
    try:
        instant = datetime.fromisoformat(text)
    except ValueError:
        command.misuse(f"{option} takes a day (2026-01-31) or an instant (2026-01-31T12:00:00Z).")
    return instant if instant.tzinfo else instant.replace(tzinfo=UTC)
