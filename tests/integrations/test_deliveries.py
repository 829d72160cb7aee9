"""Continuous delivery: order, sequence, signatures, what is sent twice and what never is, pausing and resuming."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import random
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings

from integrations import sweeps
from integrations.services import deliver
from integrations.services.deliver import configure_delivery
from integrations.services.senders.file import file_of
from integrations.standard_webhooks import signing_key
from telemetry.delivery_metrics import delivery_measurements
from telemetry.delivery_rules import Failure, Taken, wait_before_next
from telemetry.lifecycle import DELIVERY, DeliveryStatus
from telemetry.models import Delivery, LogLeaf, Receipt
from telemetry.services import deliveries
from tests.factories import acting_system
from tests.integrations.delivering import again, change, due_now, lose_worker, run, seal, stored, tell
from tests.jobs import run_jobs
from tests.receivers.fixtures import Receiver
from tests.workitems.office import open_office
from threada_site.kernel import clock
from threada_site.kernel.canonical import canonical_bytes
from threada_site.tenancy.models import Tenant
from threada_site.tenancy.roles import platform_role
from threada_site.tenancy.unit_of_work import unit_of_work

KEY = bytes(range(32))
SECRET = "whsec_" + base64.b64encode(KEY).decode()
PATH = "/telemetry/deliveries"


@pytest.fixture(autouse=True)
def surroundings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(settings, "THREADA_EGRESS_ALLOW", ["127.0.0.1/32"])
    monkeypatch.setattr(settings, "THREADA_SECRET_REFS", ["env:HOOK_SECRET"])
    monkeypatch.setattr(settings, "THREADA_DELIVERY_DIR", tmp_path / "deliveries")
    monkeypatch.setenv("HOOK_SECRET", SECRET)


def webhook(tenant: Tenant, receiver: Receiver, slug: str = "siem", **options: Any) -> Delivery:
    with unit_of_work(tenant.id):
        put = configure_delivery(
            slug,
            target="webhook",
            url=f"{receiver.url}/hook",
            secret={"env": "HOOK_SECRET"},
            ctx=acting_system(tenant),
            **options,
        )
    return put.row


def to_file(tenant: Tenant, slug: str = "archive", **options: Any) -> Delivery:
    with unit_of_work(tenant.id):
        return configure_delivery(slug, target="file", ctx=acting_system(tenant), **options).row


def events(receiver: Receiver) -> list[dict[str, Any]]:
    return [event for call in receiver.requests("/hook") for event in json.loads(call["body"])]


def sequence(found: list[dict[str, Any]]) -> list[int]:
    return [int(event["sequence"]) for event in found]


def test_the_lifecycle_allows_exactly_this() -> None:
    allowed = {("active", "paused"), ("active", "removed"), ("paused", "active"), ("paused", "removed")}
    assert {(a.value, b.value) for a in DeliveryStatus for b in DeliveryStatus if DELIVERY.allows(a, b)} == allowed


def test_a_webhook_gets_every_sealed_receipt_in_order(tenant: Tenant, receiver: Receiver) -> None:
    delivery = webhook(tenant, receiver, from_beginning=True)
    tell(tenant, "one", "two")
    size = seal(tenant)
    tell(tenant, "not sealed yet")
    assert run(delivery) is False
    got = events(receiver)
    assert sequence(got) == list(range(size))
    assert [canonical_bytes(event["data"]) for event in got] == stored(tenant)
    assert {event["specversion"] for event in got} == {"1.0"}
    found = again(delivery)
    assert (found.next_index, found.batch_end, found.lease_until, found.attempts) == (size, None, None, 0)
    assert found.delivered_at is not None
    seal(tenant)
    run(delivery)
    assert sequence(events(receiver)) == list(range(size + 1))
    assert events(receiver)[-1]["data"]["inputs"] == {"text": "not sealed yet"}


def test_messages_are_signed_as_standard_webhooks(tenant: Tenant, receiver: Receiver) -> None:
    delivery = webhook(tenant, receiver, from_beginning=True)
    size = seal(tenant)
    run(delivery)
    (call,) = receiver.requests("/hook")
    headers = call["headers"]
    assert headers["webhook-id"] == f"{delivery.public_id}.0-{size - 1}"
    signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.{call['body']}".encode()
    expected = base64.b64encode(hmac.new(KEY, signed, hashlib.sha256).digest()).decode()
    assert headers["webhook-signature"] == f"v1,{expected}"
    assert abs(int(headers["webhook-timestamp"]) - call["at"]) < 60
    assert headers["content-type"] == "application/cloudevents-batch+json"


def test_the_published_example_of_the_specification() -> None:
    """The test vector that the reference libraries of Standard Webhooks share."""
    from datetime import UTC, datetime

    from integrations.standard_webhooks import signed_headers

    headers = signed_headers(
        b'{"test": 2432232314}',
        message_id="msg_p5jXN8AQM9LWM0D4loKWxJek",
        at=datetime.fromtimestamp(1614265330, UTC),
        keys=[signing_key("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")],
    )
    assert dict(headers)["webhook-signature"] == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


@pytest.mark.parametrize("secret", ["whsec_!!!", "whsec_c2hvcnQ=", "short", ""])
def test_a_secret_that_is_none(secret: str) -> None:
    with pytest.raises(ValueError, match=r"is (not whsec_ and base64|shorter than 24 bytes)"):
        signing_key(secret)


def test_it_begins_now_unless_told(tenant: Tenant, receiver: Receiver) -> None:
    tell(tenant, "before")
    before = seal(tenant)
    delivery = webhook(tenant, receiver)
    assert run(delivery) is False
    assert receiver.requests() == []
    tell(tenant, "after")
    seal(tenant)
    run(delivery)
    assert sequence(events(receiver)) == [before, before + 1]  # its own receipt is the first
    assert events(receiver)[0]["type"] == "threada.telemetry.delivery_configured"


def test_batches_are_bounded_and_the_sequence_is_dense(
    tenant: Tenant, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deliveries, "BATCH_EVENTS", 4)
    monkeypatch.setattr(deliveries, "BATCH_BYTES", 1200)
    delivery = webhook(tenant, receiver, from_beginning=True)
    tell(tenant, *("x" * length for length in (10, 10, 10, 10, 900, 2000, 10)))
    size = seal(tenant)
    run(delivery)
    calls = [json.loads(call["body"]) for call in receiver.requests("/hook")]
    assert sequence([event for call in calls for event in call]) == list(range(size))
    assert max(map(len, calls)) <= 4
    assert all(len(call) == 1 or sum(len(canonical_bytes(e["data"])) for e in call) <= 1200 for call in calls)


def test_killed_between_sending_and_settling_the_same_message_comes_again(
    tenant: Tenant, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    delivery = webhook(tenant, receiver, from_beginning=True)
    tell(tenant, "one")
    size = seal(tenant)

    def killed(*_: Any, **__: Any) -> bool:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(deliver, "settle_delivered", killed)
        with pytest.raises(KeyboardInterrupt):
            run(delivery)
    tell(tenant, "two")
    seal(tenant)
    assert run(delivery) is False  # the lease still runs: nobody sends beside it
    assert len(receiver.requests("/hook")) == 1
    lose_worker(delivery)
    run(delivery)
    first, repeated, rest = receiver.requests("/hook")
    assert (first["body"], first["headers"]["webhook-id"]) == (repeated["body"], repeated["headers"]["webhook-id"])
    assert sequence(json.loads(first["body"]) + json.loads(rest["body"])) == list(range(size + 1))


def test_who_lost_the_lease_settles_nothing(tenant: Tenant, receiver: Receiver) -> None:
    delivery = webhook(tenant, receiver, from_beginning=True)
    seal(tenant)
    ctx = acting_system(tenant)
    with unit_of_work(tenant.id):
        stale = deliveries.claim_batch(delivery.id, now=clock.now(), ctx=ctx)
    assert stale is not None
    lose_worker(delivery)
    run(delivery)
    moved = again(delivery).next_index
    with unit_of_work(tenant.id):
        assert deliveries.settle_delivered(stale, Taken(), now=clock.now(), ctx=ctx) is False
        deliveries.settle_failed(stale, Failure("timeout", ""), now=clock.now(), ctx=ctx, rng=random.Random(1))
    assert (again(delivery).next_index, again(delivery).attempts, again(delivery).failure) == (moved, 0, "")


def test_a_receiver_that_is_gone_and_comes_back(tenant: Tenant, receiver: Receiver) -> None:
    delivery = webhook(tenant, receiver, from_beginning=True)
    size = seal(tenant)
    change(delivery, url="http://127.0.0.1:9/hook")
    run(delivery)
    found = again(delivery)
    assert (found.status, found.failure, found.attempts) == ("active", "connection_refused", 1)
    assert found.next_try_at is not None
    assert timedelta(0) < found.next_try_at - clock.now() <= timedelta(seconds=1)
    run(delivery)  # it is not time yet
    assert again(delivery).attempts == 1
    receiver.behave(status=500, times=1)
    change(delivery, url=f"{receiver.url}/hook")
    due_now(delivery)
    run(delivery)
    assert (again(delivery).failure, again(delivery).attempts) == ("bad_response", 2)
    due_now(delivery)
    run(delivery)
    found = again(delivery)
    assert (found.next_index, found.failure, found.failing_since, found.attempts) == (size, "", None, 0)
    assert len({call["headers"]["webhook-id"] for call in receiver.requests("/hook")}) == 1


def test_it_pauses_itself_says_so_and_goes_on_where_it_stopped(receiver: Receiver, tenant: Tenant) -> None:
    office = open_office(tenant)
    delivery = webhook(tenant, receiver, from_beginning=True)
    sealed = seal(tenant)
    receiver.behave(status=403, body={"error": "who are you"})
    for _ in range(6):
        due_now(delivery)
        run(delivery)
    assert len(receiver.requests("/hook")) == 4
    shown = office.api("ada").get(f"{PATH}/siem").json()
    assert (shown["status"], shown["attempts"], shown["next_index"]) == ("paused", 4, 0)
    assert shown["failure"] == {
        "reason_code": "rejected_by_receiver",
        "detail": "The receiver answered 403 (Forbidden).",
    }
    assert None not in (shown["paused_at"], shown["failing_since"])
    (told,) = office.bodies("telemetry.delivery_paused")
    assert (told["actor"]["principal"], told["outcome"]) == ("system", {"reason_codes": ["rejected_by_receiver"]})
    with platform_role():
        figures = {(m.name, m.labels): m.value for m in delivery_measurements()}
        assert sweeps.remind_of_deliveries(now=clock.now()) == 0
    paused = (("status", "paused"),)
    assert figures["threada_deliveries", paused] == 1
    assert figures["threada_delivery_behind_receipts", paused] == sealed
    receiver.behave()
    tell(tenant, "meanwhile")
    assert office.api("ada").post(f"{PATH}/siem/resume", {}).json()["status"] == "active"
    size = seal(tenant)
    assert sweeps.remind_of_deliveries(now=clock.now()) == 1
    run_jobs()
    got = [event for call in receiver.requests("/hook")[4:] for event in json.loads(call["body"])]
    assert sequence(got) == list(range(size))
    assert "telemetry.delivery_resumed" in [event["data"]["kind"] for event in got]


@pytest.mark.parametrize(
    ("behaviour", "failure", "status"),
    [
        ({"status": 410}, "rejected_by_receiver", "paused"),
        ({"status": 302, "headers": {"Location": "/elsewhere"}}, "bad_response", "active"),
        ({"status": 308, "headers": {"Location": "/elsewhere"}}, "rejected_by_receiver", "active"),
        ({"status": 429, "headers": {"Retry-After": "100"}}, "rate_limited", "active"),
        ({"fault": "reset"}, "bad_response", "active"),
        ({"fault": "not_http"}, "bad_response", "active"),
    ],
)
def test_what_answers_mean(
    behaviour: dict[str, Any], failure: str, status: str, tenant: Tenant, receiver: Receiver
) -> None:
    delivery = webhook(tenant, receiver, from_beginning=True)
    seal(tenant)
    receiver.behave(**behaviour)
    run(delivery)
    found = again(delivery)
    assert (found.failure, found.status, found.next_index) == (failure, status, 0)
    if failure == "rate_limited":
        assert found.next_try_at is not None
        assert found.next_try_at - clock.now() > timedelta(seconds=95)
    assert [call["path"] for call in receiver.requests()] == ["/hook"]


@pytest.mark.parametrize(
    "behaviour", [{"content_type": "application/json", "body": "no json"}, {"fault": "short"}, {"fault": "huge"}]
)
def test_a_status_that_says_taken_is_enough(behaviour: dict[str, Any], tenant: Tenant, receiver: Receiver) -> None:
    delivery = webhook(tenant, receiver, from_beginning=True)
    size = seal(tenant)
    receiver.behave(**behaviour)
    run(delivery)
    assert (again(delivery).next_index, len(receiver.requests("/hook"))) == (size, 1)


def test_a_secret_that_is_gone_is_said(tenant: Tenant, receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    delivery = webhook(tenant, receiver, from_beginning=True)
    seal(tenant)
    for value, said in (("", "is not set or empty"), ("too short", "is shorter than 24 bytes")):
        monkeypatch.setenv("HOOK_SECRET", value)
        due_now(delivery)
        run(delivery)
        found = again(delivery)
        assert (found.failure, said in found.detail, "too short" in found.detail) == (
            "credential_unavailable",
            True,
            False,
        )
    assert receiver.requests() == []


def test_waiting_doubles_to_five_minutes_and_then_pauses() -> None:
    failure = Failure("timeout", "")
    waits = [wait_before_next(failure, attempts=n, most=12, rng=random.Random(n)) for n in range(1, 14)]
    assert waits[11:] == [None, None]
    for number, wait in enumerate(waits[:11]):
        ceiling = min(300.0, 2.0**number)
        assert wait is not None
        assert ceiling / 2 <= wait <= ceiling
    assert wait_before_next(Failure("rejected_by_receiver", ""), attempts=4, most=12, rng=random.Random(1)) is None
    assert wait_before_next(Failure("timeout", "", is_final=True), attempts=1, most=12, rng=random.Random(1)) is None
    asked = wait_before_next(Failure("rate_limited", "", 9e9), attempts=1, most=12, rng=random.Random(1))
    assert asked is not None
    assert 3600 < asked <= 3601


def lines(delivery: Delivery) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file_of(delivery).read_bytes().splitlines()]


def test_a_file_holds_every_receipt_once(tenant: Tenant, monkeypatch: pytest.MonkeyPatch) -> None:
    delivery = to_file(tenant, from_beginning=True)
    tell(tenant, "one")
    seal(tenant)
    run(delivery)

    def killed(*_: Any, **__: Any) -> bool:
        raise KeyboardInterrupt

    tell(tenant, "two")
    size = seal(tenant)
    with monkeypatch.context() as patched:
        patched.setattr(deliver, "settle_delivered", killed)
        with pytest.raises(KeyboardInterrupt):
            run(delivery)
    assert len(lines(delivery)) == size
    with file_of(delivery).open("ab") as file:
        file.write(b'{"torn')
    tell(tenant, "three")
    size = seal(tenant)
    lose_worker(delivery)
    run(delivery)
    assert sequence(lines(delivery)) == list(range(size))
    assert [canonical_bytes(event["data"]) for event in lines(delivery)] == stored(tenant)
    assert oct(file_of(delivery).stat().st_mode)[-3:] == "600"


def test_a_file_taken_away_is_begun_anew(tenant: Tenant) -> None:
    delivery = to_file(tenant, from_beginning=True)
    size = seal(tenant)
    run(delivery)
    file_of(delivery).rename(file_of(delivery).with_suffix(".1"))
    tell(tenant, "after")
    seal(tenant)
    run(delivery)
    assert sequence(lines(delivery)) == [size]


def test_a_file_that_cannot_be_written(tenant: Tenant, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    delivery = to_file(tenant, from_beginning=True)
    size = seal(tenant)
    (tmp_path / "blocked").write_text("")
    with monkeypatch.context() as patched:
        patched.setattr(settings, "THREADA_DELIVERY_DIR", tmp_path / "blocked")
        for _ in range(5):
            due_now(delivery)
            run(delivery)
    found = again(delivery)
    assert (found.status, found.failure, found.attempts) == ("paused", "export_target_unavailable", 4)
    with unit_of_work(tenant.id):
        deliveries.resume_delivery(Delivery.objects.get(), ctx=acting_system(tenant))
    run(delivery)
    assert sequence(lines(delivery)) == list(range(size))


def test_what_retention_deleted_keeps_its_place(tenant: Tenant) -> None:
    delivery = to_file(tenant, from_beginning=True)
    tell(tenant, "one", "two")
    size = seal(tenant)
    with platform_role():
        place = LogLeaf.objects.get(tenant_id=tenant.id, index=1)
        Receipt.objects.filter(id=place.id).delete()
    run(delivery)
    got = lines(delivery)
    assert sequence(got) == list(range(size))
    assert got[1] == {
        "specversion": "1.0", "id": str(place).partition(" ")[0], "source": got[0]["source"],
        "type": "threada.receipt.deleted", "leafhash": bytes(place.hash).hex(), "sequence": "1",
    }  # fmt: skip


def test_configuring(tenant: Tenant, receiver: Receiver) -> None:
    office = open_office(tenant)
    api = office.api("ada")
    body = {
        "delivery_id": "siem",
        "target": "webhook",
        "url": receiver.url,
        "secret": {"env": "HOOK_SECRET"},
        "from": "beginning",
    }
    made = api.post(PATH, body)
    assert (made.status_code, made.json()["next_index"]) == (201, 0)
    assert made.headers["Location"] == f"{PATH}/siem"
    assert api.post(PATH, body).status_code == 200
    assert len(office.bodies("telemetry.delivery_configured")) == 1
    moved = api.post(PATH, {**body, "url": receiver.url + "/other", "from": "now"})
    assert (moved.status_code, moved.json()["next_index"]) == (200, 0)
    (_, told) = office.bodies("telemetry.delivery_configured")
    assert told["inputs"] == {
        "delivery_id": "siem", "target": "webhook", "url": receiver.url + "/other", "secret": {"env": "HOOK_SECRET"},
    }  # fmt: skip
    conflict = api.post(PATH, {"delivery_id": "siem", "target": "file"})
    assert (conflict.status_code, conflict.json()["reason_code"]) == (409, "conflict")
    assert [row["delivery_id"] for row in api.get(PATH).json()["data"]] == ["siem"]
    assert api.post(f"{PATH}/siem/pause", {}).json()["status"] == "paused"
    assert api.post(f"{PATH}/siem/pause", {}).json()["reason_code"] == "transition_not_allowed"
    assert api.post(f"{PATH}/siem/remove", {}).status_code == 204
    assert api.get(f"{PATH}/siem").status_code == 404
    assert api.post(f"{PATH}/siem/resume", {}).status_code == 404
    assert api.post(PATH, {"delivery_id": "siem", "target": "file"}).status_code == 201


@pytest.mark.parametrize(
    ("changes", "pointer", "reason"),
    [
        ({"url": "http://10.0.0.1/"}, "/url", "invalid_request"),
        ({"url": "ftp://example.org/"}, "/url", "invalid_request"),
        ({"url": "http://user:pw@127.0.0.1/"}, "/url", "invalid_request"),
        ({"url": "nonsense"}, "/url", "invalid_request"),
        ({"secret": None}, "/secret", "invalid_request"),
        ({"secret": {"env": "SECRET_KEY"}}, "/secret", "secret_reference_not_allowed"),
        ({"secret": {"value": "whsec_x"}}, "/secret", "invalid_request"),
        ({"target": "file"}, "/target", "invalid_request"),
        ({"target": "ftp"}, "/target", "invalid_request"),
        ({"delivery_id": "No Slug"}, "/delivery_id", "invalid_request"),
    ],
)
def test_what_is_refused(changes: dict[str, Any], pointer: str, reason: str, tenant: Tenant) -> None:
    office = open_office(tenant)
    body = {"delivery_id": "siem", "target": "webhook", "url": "http://127.0.0.1/", "secret": {"env": "HOOK_SECRET"}}
    answer = office.api("ada").post(PATH, {**body, **changes})
    assert (answer.status_code, answer.json()["reason_code"]) == (422, reason)
    assert [entry["pointer"] for entry in answer.json()["errors"]] == [pointer]
    assert office.count(Delivery) == 0


def test_sending_receipts_away_needs_both_rights(tenant: Tenant) -> None:
    office = open_office(tenant)
    office.join("ivy", roles=("integration_manager",))
    office.join("olga", roles=("auditor",))
    body = {"delivery_id": "archive", "target": "file"}
    assert office.api("ivy").post(PATH, body).json()["reason_code"] == "permission_denied"
    assert office.api("olga").post(PATH, body).json()["reason_code"] == "scope_missing"
    assert office.count(Delivery) == 0


def test_tenants_are_apart(tenant: Tenant, other_tenant: Tenant) -> None:
    ours, theirs = (to_file(each, from_beginning=True) for each in (tenant, other_tenant))
    tell(tenant, "ours")
    tell(other_tenant, "theirs")
    for each in (tenant, other_tenant):
        seal(each)
    assert sweeps.remind_of_deliveries(now=clock.now()) == 2
    assert sweeps.remind_of_deliveries(now=clock.now()) == 0
    run_jobs()
    assert b'"theirs"' not in file_of(ours).read_bytes()
    assert b'"theirs"' in file_of(theirs).read_bytes()
    assert len({event["source"] for event in lines(ours) + lines(theirs)}) == 2


def test_a_busy_delivery_lets_others_have_their_turn(tenant: Tenant, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deliver, "BUDGET_S", 0.0)
    delivery = to_file(tenant, from_beginning=True)
    seal(tenant)
    assert run(delivery) is True
    assert not file_of(delivery).exists()


def test_the_console_shows_and_resumes(tenant: Tenant) -> None:
    from tests.console.people import sign_in

    office = open_office(tenant)
    delivery = to_file(tenant)
    change(
        delivery, status="paused", failure="timeout", detail="No complete answer within 15 s.", paused_at=clock.now()
    )
    browser = sign_in(office.people["ada"])
    page = browser.get("/console/telemetry/delivery/archive/change/").content.decode()
    assert "It has paused itself" in page
    assert "No complete answer within 15 s. (timeout)" in page
    assert browser.post("/console/telemetry/delivery/archive/resume/").status_code == 302
    assert again(delivery).status == "active"
    office.join("olga", roles=("auditor",))
    reader = sign_in(office.people["olga"])
    assert "Remove" not in reader.get("/console/telemetry/delivery/archive/change/").content.decode()
    reader.post("/console/telemetry/delivery/archive/pause/")
    assert again(delivery).status == "active"
