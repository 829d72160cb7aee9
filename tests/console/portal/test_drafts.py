"""Drafts of requests: saved, listed, continued, deleted; seen by nobody else."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.test import Client

from tests.console.portal.forms import FORM, REQUESTS, plain_payments, put_workflow, send, stored
from tests.console.sign_in import Console
from tests.factories import acting_system, make_principal
from tests.journeys.demo import Demo
from threada_site.database.unit_of_work import unit_of_work
from threada_site.identity.principals import remove_member
from threada_site.kernel import clock
from threada_site.tenancy.models import Tenant, User
from workitems.models import RequestDraft
from workitems.portal import drafts as limits
from workitems.retention.sweep import DRAFTS_KEPT, delete_old_drafts


@pytest.fixture
def rita(demo: Demo, console: Console) -> Client:
    demo.join("rita", roles=("requester",))
    plain_payments(demo)
    return console("rita")


def kept(tenant: Tenant) -> list[RequestDraft]:
    with unit_of_work(tenant.id):
        return list(RequestDraft.objects.order_by("id"))


def test_a_draft_is_saved_listed_continued_and_sent(demo: Demo, rita: Client) -> None:
    where = send(rita, button="_save", vendor="Hooli", amount_minor="twelve")["Location"]
    (draft,) = kept(demo.tenant)
    assert where == f"{FORM}?draft={draft.public_id}"
    page = rita.get(where).content.decode()
    assert 'value="Hooli"' in page
    assert 'value="twelve"' in page
    assert f'href="{where}"' in rita.get(REQUESTS).content.decode()
    again = send(rita, button="_save", vendor="Umbrella", amount_minor="12", _draft=draft.public_id)
    assert again["Location"] == where
    assert [row.id for row in kept(demo.tenant)] == [draft.id]
    assert send(rita, vendor="Umbrella", amount_minor="12", _draft=draft.public_id).status_code == 302
    assert kept(demo.tenant) == []
    assert stored(demo) == (2, 1)


def test_what_no_longer_fits_is_said(demo: Demo, rita: Client) -> None:
    where = send(rita, button="_save", vendor="Hooli", amount_minor="12", invoice="R-1")["Location"]
    schema = {
        "type": "object",
        "required": ["payee"],
        "properties": {"payee": {"type": "string"}, "amount_minor": {"type": "integer"}},
    }
    put_workflow(demo, payload_schema=schema)
    page = rita.get(where).content.decode()
    assert "The workflow changed after you saved this draft." in page
    assert "no longer fit" in page
    assert "/vendor</code> Hooli" in page
    assert "/invoice</code> R-1" in page
    assert 'value="12"' in page


def test_drafts_of_other_people_are_neither_seen_nor_changed(demo: Demo, rita: Client, console: Console) -> None:
    send(rita, button="_save", vendor="Hooli")
    (draft,) = kept(demo.tenant)
    demo.join("otto", roles=("requester",))
    otto = console("otto")
    assert "Hooli" not in otto.get(f"{FORM}?draft={draft.public_id}").content.decode()
    assert draft.public_id not in otto.get(REQUESTS).content.decode()
    assert otto.post(f"{REQUESTS}drafts/{draft.public_id}/delete/").status_code == 404
    send(otto, button="_save", vendor="Umbrella", _draft=draft.public_id)
    send(otto, vendor="Umbrella", amount_minor="5", _draft=draft.public_id)
    assert [row.entered["texts"]["/vendor"] for row in kept(demo.tenant)] == [["Hooli"], ["Umbrella"]]


def test_another_tenant_sees_no_draft(demo: Demo, rita: Client, other_tenant: Tenant) -> None:
    send(rita, button="_save", vendor="Hooli")
    assert kept(other_tenant) == []


def test_drafts_are_deleted_by_their_owner_with_the_membership_and_with_time(demo: Demo, rita: Client) -> None:
    for _ in range(3):
        send(rita, button="_save", vendor="Hooli")
    first, second, _third = kept(demo.tenant)
    rita.post(f"{REQUESTS}drafts/{first.public_id}/delete/")
    assert first.id not in {row.id for row in kept(demo.tenant)}
    with unit_of_work(demo.tenant.id):
        RequestDraft.objects.filter(id=second.id).update(saved_at=clock.now() - DRAFTS_KEPT - timedelta(seconds=1))
    delete_old_drafts(now=clock.now())
    assert len(kept(demo.tenant)) == 1
    make_principal(demo.tenant, "boss", roles=("tenant_admin",))
    with unit_of_work(demo.tenant.id):
        remove_member(User.objects.get(username="rita"), ctx=acting_system(demo.tenant))
    assert kept(demo.tenant) == []


def test_drafts_are_limited(demo: Demo, rita: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "MOST_DRAFTS", 2)
    for _ in range(2):
        send(rita, button="_save", vendor="Hooli")
    third = send(rita, button="_save", vendor="Hooli")
    assert third.status_code == 422
    assert "You have 2 drafts, the maximum." in third.content.decode()
    large = send(rita, button="_save", vendor="x" * 300_000, _draft=kept(demo.tenant)[0].public_id)
    assert "too large for a draft" in large.content.decode()
    odd = send(rita, button="_save", vendor="a\x00b", _draft=kept(demo.tenant)[0].public_id)
    assert odd.status_code == 422


def test_forms_about_data_subjects_are_not_saved(demo: Demo, rita: Client) -> None:
    put_workflow(demo, subject="/vendor")
    assert "Save draft" not in rita.get(FORM).content.decode()
    answer = send(rita, button="_save", vendor="Ada")
    assert answer.status_code == 422
    assert kept(demo.tenant) == []
