"""Map from controls of frameworks to features and evidence, and its page. Pure.

Texts of the controls are summarised, not quoted. Sources: AICPA Trust Services Criteria (2017, points of focus 2022),
ISO/IEC 27001:2022 Annex A, ISO/IEC 42001:2023 Annex A, Regulation (EU) 2024/1689 (AI Act), Regulation (EU) 2022/2554
(DORA).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final


@dataclass(frozen=True, slots=True)
class Control:
    """One control: what it asks for, what Threada contributes, and the files of an evidence archive that show it."""

    name: str
    asks: str
    contributes: str
    shown_by: str


@dataclass(frozen=True, slots=True)
class Framework:
    """Title of a framework, what it does not require of Threada or cannot get from it, and its controls."""

    title: str
    limits: str
    controls: tuple[Control, ...]


_RECEIPTS: Final = "receipts-evidence.zip"
_ACCESS: Final = "access.csv"
_REVIEWS: Final = "access-reviews.csv"
_RULES: Final = "configuration/"
_PROOF: Final = "proof.json"

FRAMEWORKS: Final[Mapping[str, Framework]] = MappingProxyType(
    {
        "soc2": Framework(
            "SOC 2 (Trust Services Criteria)",
            "A report needs an auditor and the whole organisation. Threada shows how actions in its scope were "
            "controlled, nothing about other systems, physical access or the people's training.",
            (
                Control(
                    "CC6.1, CC6.3",
                    "Logical access is restricted, by roles and least privilege, with segregation of duties.",
                    "Scopes, roles, grants on single workflows; excluded requesters; two independent people.",
                    f"{_ACCESS}, {_RULES}, {_PROOF}",
                ),
                Control(
                    "CC6.2",
                    "Access is authorised before it is given and removed when it ends.",
                    "Invitations, SCIM, change sets under four eyes, access reviews, departures with receipts.",
                    f"{_ACCESS}, {_REVIEWS}, {_RECEIPTS} (member.*, role.*, access_review.*)",
                ),
                Control(
                    "CC7.2, CC7.3",
                    "Anomalies are monitored and evaluated.",
                    "Metrics, refusals with reason codes, unknown outcomes that a person reconciles.",
                    f"{_RECEIPTS} (request.refused, execution.*)",
                ),
                Control(
                    "CC8.1",
                    "Changes are authorised, tested, approved and documented.",
                    "Versioned policies with tests and replays, published by a second person.",
                    f"{_RULES}, {_RECEIPTS} (policy.*)",
                ),
            ),
        ),
        "iso27001": Framework(
            "ISO/IEC 27001:2022, Annex A",
            "Certification concerns a management system. These are contributions to controls of Annex A; the statement "
            "of applicability, the risk treatment and internal audits are yours.",
            (
                Control(
                    "A.5.3",
                    "Conflicting duties are segregated.",
                    "Requester, last editor and agent owner are excluded; dependent accounts do not count as two.",
                    f"{_PROOF}, {_RULES}",
                ),
                Control(
                    "A.5.15, A.5.18",
                    "Access is granted by rules, reviewed and removed.",
                    "Roles, grants and their times; access reviews: people confirm each holder, or ask for removal.",
                    f"{_ACCESS}, {_REVIEWS}, {_RECEIPTS} (access_review.*)",
                ),
                Control(
                    "A.8.2",
                    "Privileged access is restricted and managed.",
                    "Stewards act under four eyes and with second factors.",
                    f"{_ACCESS}, {_RECEIPTS} (change_set.*)",
                ),
                Control(
                    "A.8.15",
                    "Events are logged and logs are protected.",
                    "Receipts in a signed, append-only log that outsiders verify.",
                    _RECEIPTS,
                ),
                Control(
                    "A.8.32",
                    "Changes follow change management.",
                    "Change sets, policy versions, replays before publication.",
                    f"{_RULES}, {_RECEIPTS} (policy.*, change_set.*)",
                ),
            ),
        ),
        "iso42001": Framework(
            "ISO/IEC 42001:2023, Annex A",
            "The standard concerns the management of AI systems over their life. Threada controls what agents do by "
            "way of it; it evaluates no model, no data and no impact.",
            (
                Control(
                    "A.6.2.6, A.6.2.8",
                    "Operation of AI systems is monitored, and event logs are recorded.",
                    "Each request of an agent, its decision, its execution and each refusal has a receipt.",
                    f"{_RECEIPTS} (actor of kind agent)",
                ),
                Control(
                    "A.9.2, A.9.4",
                    "AI systems are used responsibly and as intended.",
                    "Agents have an owner, scopes, rules of their own and a freeze; they decide nothing.",
                    f"{_ACCESS}, {_RULES}, {_PROOF}",
                ),
                Control(
                    "A.3.2",
                    "Roles and responsibilities are allocated.",
                    "Owners of agents, roles of approvers, stewards.",
                    _ACCESS,
                ),
            ),
        ),
        "eu-ai-act": Framework(
            "EU AI Act (Regulation (EU) 2024/1689), Articles 12, 14 and 26",
            "The articles concern high-risk AI systems. Whether yours is one, risk management, data governance, "
            "conformity assessment and instructions for use are outside of Threada. Article 12 binds providers: the "
            "system itself must allow logging. Receipts add the record of actions; they do not replace logs of the "
            "model. Article 14 asks for more than an approval: people must be able to understand, to doubt and to "
            "stop. Article 26 binds deployers.",
            (
                Control(
                    "Article 12",
                    "High-risk systems technically allow the automatic recording of events over their lifetime.",
                    "Receipts of requests, decisions and actions, with times and references, in a signed log.",
                    _RECEIPTS,
                ),
                Control(
                    "Article 14(4)(d), (e)",
                    "People can decide not to use an output, override it, and stop the system.",
                    "Approval of the exact request, rejection with reason, freezes, cancellation, undo.",
                    f"{_RECEIPTS} (decision_step.*, freeze.*)",
                ),
                Control(
                    "Article 14(4)(b)",
                    "People remain aware of the tendency to rely on outputs automatically.",
                    "Page views of evidence before a vote, decision statistics per approver. Training is yours.",
                    f"{_RECEIPTS} (vote.*)",
                ),
                Control(
                    "Article 26(2)",
                    "Deployers assign oversight to people with the competence and authority.",
                    "Roles of approvers and who holds them; competence is yours to show.",
                    _ACCESS,
                ),
                Control(
                    "Article 26(6)",
                    "Deployers keep logs under their control for at least six months.",
                    "Retention rules; without one, receipts are kept.",
                    f"{_RULES}, {_RECEIPTS}",
                ),
            ),
        ),
        "dora": Framework(
            "DORA (Regulation (EU) 2022/2554)",
            "DORA binds financial entities. The register of providers, incident reports to authorities, testing "
            "programmes and contracts are outside of Threada.",
            (
                Control(
                    "Article 9(4)(c)",
                    "Access to assets is limited to what is required.",
                    "Scopes, grants, own cases, secrets bound to origins.",
                    f"{_ACCESS}, {_RULES}",
                ),
                Control(
                    "Article 9(4)(e)",
                    "Changes to systems are recorded, tested, assessed, approved and verified.",
                    "Policy versions, tests, replays and shadows; change sets.",
                    f"{_RULES}, {_RECEIPTS} (policy.*, change_set.*)",
                ),
                Control(
                    "Article 10",
                    "Anomalous activities are detected.",
                    "Metrics and alerts, refusals, circuit breakers, unknown outcomes.",
                    f"{_RECEIPTS} (request.refused, execution.*)",
                ),
                Control(
                    "Article 12",
                    "Data is backed up and can be restored.",
                    "Backups with digests, verified restores, erasures repeated after a restore.",
                    "the operator's rehearsals (docs/operations/backup.md)",
                ),
                Control(
                    "Article 17",
                    "Incidents are managed, recorded and their causes found.",
                    "Freezes with reason and in-flight calls, timelines of cases.",
                    f"{_RECEIPTS} (freeze.*)",
                ),
            ),
        ),
    }
)

_INTRODUCTION: Final = """\
# Controls of frameworks

Which features and files help with which control, and what they do not do. This is a map for a conversation with an
auditor, no statement of compliance, and no legal advice. Texts of controls are summarised.

```sh
uv run manage.py evidence --help
```

writes the files of a period: `receipts-evidence.zip` (receipts with proofs and verifier), `access.csv` (who holds what,
since when, given by whom, last used), `access-reviews.csv` ([access reviews](../how-to/review-access.md) with their
decisions), `configuration/` (documents in force now), `proof.json` ([proof](../how-to/prove.md)) and the table of the
framework. This page is written by `manage.py write_controls`.
"""


def controls_markdown() -> str:
    """Return the page of all frameworks."""
    return "\n".join([_INTRODUCTION, *(framework_markdown(name) for name in FRAMEWORKS)])


def framework_markdown(name: str) -> str:
    """Return the section of one framework."""
    framework = FRAMEWORKS[name]
    rows = [f"| {each.name} | {each.asks} | {each.contributes} | {each.shown_by} |" for each in framework.controls]
    return "\n".join(
        [
            f"## {framework.title}\n",
            f"`--framework {name}`. {framework.limits}\n",
            "| control | asks for | Threada contributes | shown by |",
            "|---|---|---|---|",
            *rows,
            "",
        ]
    )
