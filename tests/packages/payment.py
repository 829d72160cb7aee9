"""A payment on an installed instance with the demo tenant."""

from __future__ import annotations

import json
from typing import Any

from tests.adversarial.server import Server
from tests.adversarial.waiting import until
from tests.journeys.demo import SMALL


def pay(instance: Server) -> dict[str, Any]:
    """Hand in a payment within the limits of the demo's policy, execute it, and return the ended execution."""
    body = {"workflow_id": "payment_run", "channel_id": "web_main", "payload": SMALL}
    item = instance.send("POST", "/work-items", json.dumps(body).encode()).json()["work_item_id"]
    asked = json.dumps({"work_item_id": item, "action_id": "pay", "integration_id": "int_bank"}).encode()
    execution = instance.send("POST", "/actions/execute", asked).json()["execution_id"]
    path = f"/executions/{execution}"
    until(lambda: instance.send("GET", path).json()["status"] in {"succeeded", "failed"})
    ended: dict[str, Any] = instance.send("GET", path).json()
    return ended
