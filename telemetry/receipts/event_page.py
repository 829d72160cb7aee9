"""The page docs/reference/events.md: every kind of event with a sentence and an example. Pure."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

from telemetry.receipts.event_kinds import EVENT_KINDS

EXAMPLES: Final = Path(__file__).with_name("event_examples.json")
RECORDED: Final = Path(__file__).with_name("recorded_examples.json")
"""Kinds whose example has the members of a receipt that a test wrote."""
"""Subject, inputs, evidence, policy and outcome of a receipt of each kind."""
_HEAD: Final = """# Events

Every receipt of a tenant is an event. [Deliveries](../operations/deliveries.md) send them as CloudEvents 1.0, in the
order of the log, and exports write the same. `kinds` and `workflows` of a delivery select events; a kind that is not on
this page is refused.

`manage.py write_events` writes this page. A test compares it with the code.

## Form

A webhook gets a JSON array of events (`application/cloudevents-batch+json`), signed by [Standard
Webhooks](https://www.standardwebhooks.com). `data` is the receipt: the bytes whose SHA-256 is `bodysha256`.

```json
%(event)s
```

| attribute | value |
|---|---|
| `type` | `threada.` and the kind |
| `id` | id of the receipt; the same when the event is sent again |
| `subject` | id of the work item or of the execution, if the event is about one |
| `sequence` | log index. Without a selection it is dense, so a gap is visible |
| `data.actor` | principal, kind, entry point, roles and credential of who acted |
| `data.subject` | ids of what the event is about |
| `data.inputs`, `evidence`, `policy`, `outcome` | what the kind records: ids, digests, codes; no payload, no secret |

Two types are no receipts: `threada.delivery.test` is a test event, without `sequence`; `threada.receipt.deleted` stands
for a receipt that retention removed, with its `leafhash` and without `data`. A delivery that selects kinds or workflows
leaves removed receipts out.

`evidence.signature` of `vote.recorded` is reserved for a signature of the person who voted.

Later versions may add kinds, and fields in every block. Ignore what you do not know.

## Receive them

* Check the signature, then answer with 2xx within 15 seconds. Anything else is sent again; 410 pauses the delivery.
* Deduplicate by the `id` of each event: a message can arrive twice, and `POST /telemetry/deliveries/{id}/resend` sends
  events again in messages with a new `webhook-id`.
* `POST /telemetry/deliveries/{id}/test` sends a test event. `GET /telemetry/deliveries/{id}/attempts` lists what was
  sent when, with the reason of failures. Both contain neither events nor answers.

## Kinds

The examples contain the blocks of `data` that are specific to the kind. They are receipts that tests wrote, with ids,
digests and times replaced. An example marked † is constructed, or was not compared with such a receipt.
"""


def event_examples() -> dict[str, dict[str, Any]]:
    """Return the examples by kind."""
    found: dict[str, dict[str, Any]] = json.loads(EXAMPLES.read_text())
    return found


def recorded_kinds() -> list[str]:
    """Return the kinds whose example has the members of a receipt that a test wrote."""
    found: list[str] = json.loads(RECORDED.read_text())
    return found


def events_markdown() -> str:
    """Return the page."""
    examples, recorded = event_examples(), set(recorded_kinds())
    parts = [_HEAD % {"event": json.dumps(_event("execution.succeeded", examples), indent=2)}]
    group = ""
    for kind, sentence in EVENT_KINDS.items():
        name = kind.partition(".")[0]
        if name != group:
            group = name
            parts.append(f"\n### {group}\n")
        mark = "" if kind in recorded else " †"
        parts.append(f"\n**`{kind}`** {sentence}{mark}\n\n```json\n{json.dumps(examples[kind], sort_keys=True)}\n```\n")
    return "".join(parts)


def _event(kind: str, examples: dict[str, dict[str, Any]]) -> dict[str, Any]:
    blocks = {name: examples[kind].get(name, {}) for name in ("subject", "inputs", "evidence", "policy", "outcome")}
    return {
        "specversion": "1.0",
        "id": "rc_01m8eh3p6cekr9sj4kd3n5t3z6",
        "source": "urn:threada:tenant:tn_01m8eh3p6cekr9sj4kd3n5t3z6",
        "type": f"threada.{kind}",
        "time": "2026-11-27T12:00:00.000Z",
        "subject": "wi_01m8eh3p6cekr9sj4kd3n5t3z6",
        "datacontenttype": "application/json",
        "bodysha256": "3f" * 32,
        "correlationid": "3f" * 16,
        "sequence": "42",
        "data": {
            "format": "threada-receipt/1",
            "id": "rc_01m8eh3p6cekr9sj4kd3n5t3z6",
            "kind": kind,
            "tenant": "tn_01m8eh3p6cekr9sj4kd3n5t3z6",
            "occurred_at": "2026-11-27T12:00:00.000Z",
            "correlation_id": "3f" * 16,
            "actor": {"principal": "system", "kind": "system", "entry_point": "job"},
            **blocks,
        },
    }
