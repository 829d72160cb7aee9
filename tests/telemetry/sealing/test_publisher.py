"""Publication of checkpoints to files, repositories, webhooks and mail.

Failures have a type, are retried, and delay nothing.
"""

from __future__ import annotations

import json
import subprocess
import threading
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import aics_tlog
import pytest
from aiosmtpd.controller import Controller

from telemetry.log.signed_tree_heads import SignedCheckpoint
from telemetry.log.store import LogStore
from telemetry.models import CheckpointTarget
from telemetry.sealing.publisher import Publisher, PublishFailure, Target
from telemetry.sealing.publisher_pool import PublisherPool
from tests.ports import free_port
from tests.receivers.fixtures import Receiver, receiver  # noqa: F401  (a fixture)
from tests.telemetry.sealed import NAME, RecordedLog, SealingSetup, newest, own_connection, write_receipts
from threada_site.kernel import ids
from threada_site.runtime.sealer.checkpoint_targets import Webhook, checkpoint_targets, read_target
from threada_site.tenancy.models import Tenant

AT = datetime(2026, 1, 31, 9, 30, tzinfo=UTC)


def published(size: int, tenant: str = "tn_1") -> SignedCheckpoint:
    return SignedCheckpoint(tenant, size, f"log/{tenant}\n{size}\nroot\n\n\u2014 log sig\n", AT)


def eventually(holds: Callable[[], Any], seconds: float = 20.0) -> Any:
    ends = time.monotonic() + seconds
    while not (found := holds()):
        assert time.monotonic() < ends
        time.sleep(0.02)
    return found


def test_a_file_is_appended_to(tmp_path: Path) -> None:
    send = read_target(f"file:{tmp_path / 'checkpoints.ndjson'}").send
    send([published(1), published(2, "tn_2")])
    send([published(3)])
    lines = [json.loads(line) for line in (tmp_path / "checkpoints.ndjson").read_text().splitlines()]
    assert [(line["tenant"], line["tree_size"]) for line in lines] == [("tn_1", 1), ("tn_2", 2), ("tn_1", 3)]
    assert lines[2] == {
        "tenant": "tn_1",
        "tree_size": 3,
        "signed_at": "2026-01-31T09:30:00.000Z",
        "checkpoint": published(3).note,
    }


def test_a_file_that_cannot_be_written_is_a_typed_failure(tmp_path: Path) -> None:
    with pytest.raises(PublishFailure) as failed:
        read_target(f"file:{tmp_path / 'nowhere' / 'checkpoints.ndjson'}").send([published(1)])
    assert failed.value.failure == "unwritable"


def test_a_repository_keeps_the_history(tmp_path: Path) -> None:
    folder = tmp_path / "checkpoints"
    send = read_target(f"git:{folder}").send
    send([published(1), published(1, "tn_2")])
    send([published(2), published(1, "tn_2")])
    send([published(2)])
    assert (folder / "tn_1" / "checkpoint").read_text() == published(2).note
    log = subprocess.run(
        ["git", "-C", str(folder), "log", "--format=%s", "--", "tn_1"], capture_output=True, text=True, check=True
    ).stdout.splitlines()
    assert log == ["Checkpoints of 2026-01-31T09:30:00Z"] * 2
    before = subprocess.run(
        ["git", "-C", str(folder), "show", "HEAD~1:tn_1/checkpoint"], capture_output=True, text=True, check=True
    ).stdout
    assert before == published(1).note


def test_a_repository_that_refuses_is_a_typed_failure(tmp_path: Path) -> None:
    (tmp_path / "checkpoints" / ".git").mkdir(parents=True)
    with pytest.raises(PublishFailure) as failed:
        read_target(f"git:{tmp_path / 'checkpoints'}").send([published(1)])
    assert failed.value.failure == "git_failed"


def test_webhook_receives_checkpoints(receiver: Receiver) -> None:  # noqa: F811
    send = Webhook(f"{receiver.url}/checkpoints", allow=["127.0.0.1"])
    receiver.behave(status=204)
    send([published(1), published(7, "tn_2")])
    [request] = receiver.wait_for(1, path="/checkpoints")
    assert request["method"] == "POST"
    received = json.loads(request["body"])["checkpoints"]
    assert [checkpoint["checkpoint"] for checkpoint in received] == [published(1).note, published(7, "tn_2").note]


def test_webhooks_fail_by_type(receiver: Receiver) -> None:  # noqa: F811
    receiver.behave(status=503)
    for allow, stop, failure in (
        (["127.0.0.1"], False, "rejected_by_receiver"),
        ([], False, "blocked_address"),
        (["127.0.0.1"], True, "connection_refused"),
    ):
        if stop:
            receiver.stop()
        with pytest.raises(PublishFailure) as failed:
            Webhook(f"{receiver.url}/checkpoints", allow=allow)([published(1)])
        assert failed.value.failure == failure


class Mails:
    def __init__(self) -> None:
        self.messages: list[Any] = []

    async def handle_DATA(self, _server: Any, _session: Any, envelope: Any) -> str:  # noqa: N802
        self.messages.append(envelope)
        return "250 OK"


def test_mail_contains_the_checkpoint_of_every_log(monkeypatch: pytest.MonkeyPatch) -> None:
    mails = Mails()
    port = free_port()
    server = Controller(mails, hostname="127.0.0.1", port=port)
    server.start()
    try:
        monkeypatch.setenv("THREADA_SMTP_URL", f"smtp://127.0.0.1:{port}")
        target = read_target("mailto:auditor@example.org")
        assert target.pause_s == 86_400
        target.send([published(1), published(7, "tn_2")])
    finally:
        server.stop()
    [mail] = mails.messages
    assert mail.rcpt_tos == ["auditor@example.org"]
    assert b"tn_2-7.checkpoint" in mail.content
    with pytest.raises(PublishFailure) as failed:
        target.send([published(1)])
    assert failed.value.failure == "mail_unreachable"


def test_failed_publication_is_retried_with_the_newest_checkpoint() -> None:
    said, received, broken = RecordedLog(), [], [True]

    def send(batch: Sequence[SignedCheckpoint]) -> None:
        if broken[0]:
            raise PublishFailure("unwritable", "no space")
        received.append([(entry.tenant, entry.size) for entry in batch])

    publisher = Publisher(Target("file:/x", send, 0.0), log=said)
    publisher.start()
    publisher.offer(published(1))
    eventually(lambda: publisher.state.attempts)
    assert (publisher.state.failure, publisher.state.detail) == ("unwritable", "no space")
    publisher.offer(published(2))
    publisher.offer(published(1, "tn_2"))
    broken[0] = False
    eventually(lambda: received)
    publisher.stop()
    assert received == [[("tn_1", 2), ("tn_2", 1)]]
    assert publisher.state.attempts == 0
    assert publisher.state.published_at is not None
    assert said.events == ["checkpoint_not_published", "checkpoint_target_recovered"]


def test_target_is_published_to_at_most_once_per_pause() -> None:
    received: list[int] = []
    target = Target("x", lambda batch: received.append(batch[0].size), 3600.0)
    publisher = Publisher(target, log=RecordedLog(), published_at=datetime.now(UTC))
    publisher.start()
    publisher.offer(published(1))
    publisher.stop()
    assert received == []


def test_invalid_target_fails_like_any_other(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("THREADA_CHECKPOINT_TARGETS", "ftp://x.example file:relative/path")
    for target in checkpoint_targets():
        with pytest.raises(PublishFailure) as failed:
            target.send([published(1)])
        assert failed.value.failure == "misconfigured"
    assert "secret" not in read_target("https://user:secret@hooks.example/secret?secret").name


@pytest.mark.django_db(transaction=True)
def test_sealing_goes_on_while_a_target_hangs_and_another_fails(tenant: Tenant, tmp_path: Path) -> None:
    sealing_setup = SealingSetup(tmp_path)
    begun, released, ended = threading.Event(), threading.Event(), list[bool]()

    def hang(_batch: object) -> None:
        begun.set()
        ended.append(released.wait(60))

    hanging = Target("hanging", hang, 0.0)
    failing = read_target("file:/proc/nowhere/checkpoints.ndjson")
    good = read_target(f"file:{tmp_path / 'checkpoints.ndjson'}")
    with own_connection() as own:
        store = LogStore(own)
        publication = PublisherPool(
            [hanging, failing, good], store=store, log=sealing_setup.said, with_instance_log=True
        )
        with sealing_setup.sealer(on_signed=publication.offer, with_instance_log=True) as sealer:
            for _ in range(3):
                write_receipts(tenant, 2)
                assert sealer.round() >= 2
        assert begun.wait(20)
        assert ended == []  # the target hangs while the sealer goes on
        checkpoint = newest(tenant)
        eventually(
            lambda: (
                (tmp_path / "checkpoints.ndjson").exists() and checkpoint.note in notes(tmp_path / "checkpoints.ndjson")
            )
        )
        publication.save_states(store)
        assert ended == []
        released.set()
    states = {target.name: target for target in CheckpointTarget.objects.all()}
    assert states[failing.name].failure == "unwritable"
    assert states[failing.name].failing_since is not None
    assert states[good.name].failing_since is None
    key = sealing_setup.key_file.keys()[0]
    received = notes(tmp_path / "checkpoints.ndjson")
    for note in received:
        vkey = str(key.verifier_key(note.partition("\n")[0]))
        checked = aics_tlog.verify_checkpoint(aics_tlog.parse_note(note), aics_tlog.parse_vkey(vkey))
        assert checked.ok, checked.error
    assert {note.partition("\n")[0] for note in received} == {checkpoint.origin, f"{NAME}/instance"}
    assert checkpoint.origin.endswith(ids.public_id(ids.TENANT, tenant.id))


def notes(path: Path) -> list[str]:
    return [json.loads(line)["checkpoint"] for line in path.read_text().splitlines()]
