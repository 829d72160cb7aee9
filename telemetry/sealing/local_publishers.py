"""Publication targets on this machine: a file and a Git repository."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from telemetry.log.anchor import append_line
from telemetry.log.signed_tree_heads import SignedCheckpoint
from telemetry.sealing.publisher import PublishFailure

UNWRITABLE: Final = "unwritable"
GIT_FAILED: Final = "git_failed"
_GIT_SECONDS: Final = 30.0


class AppendOnlyFile:
    """A file with one JSON object per line: tenant, size, time, and the signed note."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __call__(self, batch: Sequence[SignedCheckpoint]) -> None:
        try:
            for published in batch:
                append_line(self._path, json.dumps(as_json(published)), mode=0o644)
        except OSError as error:
            raise PublishFailure(UNWRITABLE, f"{self._path}: {error.strerror or error}") from error


class GitDirectory:
    """A Git repository with one file per log, `<tenant>/checkpoint`, whose history is that of the log.

    Created if it does not exist. Commits run the repository's hooks, so that a `post-commit` hook can push.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def __call__(self, batch: Sequence[SignedCheckpoint]) -> None:
        try:
            self._path.mkdir(parents=True, exist_ok=True)
            if not (self._path / ".git").exists():
                self._git("init", "--quiet")
            for published in batch:
                file = self._path / published.tenant / "checkpoint"
                file.parent.mkdir(exist_ok=True)
                temporary = file.with_name(".checkpoint")
                temporary.write_text(published.note)
                temporary.replace(file)
            self._git("add", "--all", ".")
            if self._git("status", "--porcelain"):
                self._git("commit", "--quiet", "--message", f"Checkpoints of {batch[-1].at:%Y-%m-%dT%H:%M:%SZ}")
        except OSError as error:
            raise PublishFailure(UNWRITABLE, f"{self._path}: {error.strerror or error}") from error

    def _git(self, *arguments: str) -> str:
        who = ("-c", "user.name=Threada", "-c", "user.email=threada@localhost", "-c", "commit.gpgsign=false")
        environment = {**os.environ, "GIT_TERMINAL_PROMPT": "0"}
        try:
            done = subprocess.run(
                ["git", "-C", str(self._path), *who, *arguments],  # noqa: S607  (git as the operator has it)
                capture_output=True,
                text=True,
                timeout=_GIT_SECONDS,
                stdin=subprocess.DEVNULL,
                env=environment,
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            raise PublishFailure(GIT_FAILED, f"git {arguments[0]} took longer than {_GIT_SECONDS:g} s") from error
        if done.returncode != 0:
            said = (done.stderr or done.stdout).strip().splitlines()
            raise PublishFailure(GIT_FAILED, f"git {arguments[0]}: {said[-1] if said else done.returncode}")
        return done.stdout


def as_json(published: SignedCheckpoint) -> dict[str, object]:
    """Return a checkpoint for receivers that read JSON."""
    return {
        "tenant": published.tenant,
        "tree_size": published.size,
        "signed_at": published.at.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "checkpoint": published.note,
    }
