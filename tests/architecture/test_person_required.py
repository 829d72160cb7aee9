"""Decisions of people ask for the authentication of the person in one place."""

from __future__ import annotations

from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[2]

ELSEWHERE: Final = {
    "integrations/probes/calls.py": "a test call decides nothing",
    "policies/publication/rules.py": "pure; its callers call check_authentication",
    "threada_site/identity/confirmation.py": "asks for a step-up, which no token has",
    "threada_site/identity/departure/leave.py": "the own departure, in a session",
    "workitems/conversation/questions.py": "a question decides nothing",
    "workitems/conversation/watching.py": "a watch decides nothing",
    "workitems/executions/freezing/permissions.py": "a machine or the operator lifts a freeze of a person",
    "workitems/retention/tenant_deletion.py": "no person proposed the change set",
}
"""Modules that refuse machines without asking how the person was authenticated, and why."""


def test_whatever_a_person_must_decide_asks_how_the_person_was_authenticated() -> None:
    found = {
        path.relative_to(ROOT).as_posix()
        for folder in ("threada_site", "workitems", "policies", "integrations", "telemetry")
        for path in Path(ROOT / folder).rglob("*.py")
        if "raise errors.PersonRequired" in (text := path.read_text()) or "raise PersonRequired" in text
    }
    assert found == {"threada_site/tenancy/credentials/deciding.py", *ELSEWHERE}
