"""docs/how-to/http-system.md, followed: from its document to a ticket in a receiver, and to one that is refused."""

from __future__ import annotations

import json
import re
import textwrap
from pathlib import Path

import pytest

from tests.adversarial.server import REPOSITORY, running_server
from tests.clients.tutorial import BLOCK, Reader
from tests.receivers.fixtures import Receiver

pytestmark = pytest.mark.slow
PAGE = (REPOSITORY / "docs" / "how-to" / "http-system.md").read_text()


def test_steps_lead_to_a_ticket(tmp_path: Path) -> None:
    secret, document, apply, token, create, item, execute, explain = (
        textwrap.dedent(text) for _, text in BLOCK.findall(PAGE)
    )
    assert secret == "export TICKETS_TOKEN=tickets-secret\n"
    receiver = Receiver(tmp_path)
    try:
        receiver.behave(body={"ok": True, "ticket": 4711})
        with running_server(tmp_path, TICKETS_TOKEN="tickets-secret", THREADA_EGRESS_ALLOW="127.0.0.1/32") as server:
            reader = Reader(server, tmp_path)
            (tmp_path / "systems").mkdir()
            written = document.replace("https://tickets.example", receiver.url)
            (tmp_path / "systems" / "tickets.yaml").write_text(written)
            for block in (secret, apply):
                reader.run(block)
            assert receiver.requests() == []
            reader.output = server.log.read_text()
            reader.run(token)
            created = reader.answer(create)
            reader.run(item)
            answer = reader.answer(execute)
            assert (answer["status"], answer["result"]["body"]) == ("succeeded", {"ok": True, "ticket": 4711})
            assert reader.answer(explain)["status"] == "resolved"
            (sent,) = receiver.requests()
            assert f"{sent['method']} {sent['path']}" == "POST /queues/printers/tickets"
            assert sent["headers"]["authorization"] == "Bearer tickets-secret"
            assert sent["headers"]["idempotency-key"]
            shown = PAGE.partition("```json\n")[2].partition("```")[0].replace("wi_…", created["work_item_id"])
            assert json.loads(sent["body"]) == json.loads(shown)

            receiver.behave(body={"ok": False, "error": "queue_closed"})
            reader.answer(create)
            reader.run(item)
            assert reader.answer(execute)["status"] == "failed"
            (why,) = reader.answer(explain)["why"]
            assert f"`{why}`" in re.sub(r"\s+", " ", PAGE), why
            assert len(receiver.requests()) == 2
    finally:
        receiver.stop()
