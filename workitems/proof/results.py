"""Results of checks. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any


class Result(StrEnum):
    """Result of one check of one case. `NOT_APPLICABLE` is never counted as `PASS`."""

    PASS = "pass"  # noqa: S105
    FAIL = "fail"
    NOT_APPLICABLE = "not_applicable"


@dataclass(frozen=True, slots=True)
class Finding:
    """Result of one check for one case, and the observation behind it in a sentence."""

    check: str
    result: Result
    text: str
    case: str


@dataclass(frozen=True, slots=True)
class Proof:
    """All findings of a run, and the promise that each check tries."""

    promises: dict[str, str]
    findings: tuple[Finding, ...]

    def result_of(self, check: str) -> Result:
        """Return FAIL if one case fails, else PASS if one case passes, else NOT_APPLICABLE."""
        return combined(finding.result for finding in self.findings if finding.check == check)

    @property
    def holds(self) -> bool:
        """Return True if no check fails and at least one passes."""
        results = {self.result_of(check) for check in self.promises}
        return Result.FAIL not in results and Result.PASS in results

    def as_json(self) -> dict[str, Any]:
        """Return the proof as JSON: one object per check, with its findings."""
        return {
            "holds": self.holds,
            "checks": [
                {
                    "check": check,
                    "promise": promise,
                    "result": self.result_of(check).value,
                    "findings": [
                        {"case": finding.case, "result": finding.result.value, "text": finding.text}
                        for finding in self.findings
                        if finding.check == check
                    ],
                }
                for check, promise in self.promises.items()
            ],
        }


def combined(results: Iterable[Result]) -> Result:
    """Return the result of a check over all its cases."""
    found = set(results)
    return next((result for result in (Result.FAIL, Result.PASS) if result in found), Result.NOT_APPLICABLE)
