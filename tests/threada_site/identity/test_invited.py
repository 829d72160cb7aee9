"""Nothing in a tenant tells whether the name of somebody who is invited has an account elsewhere, or how old it is."""

from __future__ import annotations

import itertools
import json
import re
import threading
from typing import Any
from uuid import UUID

import pytest
from django.test import Client
from pytest_django import Settings

from telemetry.models import Receipt
from tests.client import Api
from tests.console.sign_in import sign_in, step_up
from tests.contract.world import made
from tests.databases.contents import MD5
from tests.factories import PASSWORD, acting, acting_system, make_principal, make_token, stepped_up
from threada_site.database.unit_of_work import unit_of_work
from threada_site.identity.access_reviews.reviews import start_review
from threada_site.identity.console_sessions.ending import end_sessions_of
from threada_site.identity.departure.access import end_access, ways_to_act
from threada_site.identity.passwords import set_password
from threada_site.kernel import errors, ids
from threada_site.tenancy.account_link_models import AccountLink
from threada_site.tenancy.models import AccessReview, ChangeSet, Membership, Tenant, User
from workitems.completeness.verify import verify_completeness

_ID = re.compile(r"\b([a-z]{2,6})_[0-7][0-9a-hjkmnp-tv-z]{25}\b")
_VARIES = [
    (re.compile(r"[0-9a-f]{64}"), "DIGEST"),
    (re.compile(r"\d{4}-\d\d-\d\d[T ][\d:.]+ ?(Z|UTC|[+-]\d\d:\d\d)"), "TIME"),
    (re.compile(r'(csrfmiddlewaretoken" value="|nonce=")[^"]+'), "SECRET"),
    (re.compile(r"[0-9a-f]{32}"), "CORRELATION"),
    (re.compile(r'="[A-Za-z0-9+/]{43}="'), "KEY"),
    (re.compile(r"\d+ (second|minute)s? ago"), "AGO"),
]
NAMES = ("taken", "fresh")


@pytest.fixture
def ann(tenant: Tenant, settings: Settings) -> User:
    settings.PASSWORD_HASHERS = MD5
    return make_principal(tenant, "ann", roles=["tenant_admin"])


@pytest.fixture
def taken(other_tenant: Tenant) -> User:
    """Return a person of the other tenant with a name, an address, a password and an open session."""
    person = make_principal(other_tenant, "taken", roles=["approver"])
    with unit_of_work(other_tenant.id):
        set_password(person, PASSWORD, ctx=acting_system(other_tenant))
    User.objects.filter(id=person.id).update(display_name="Tara Aken", email="tara@globex.test")
    Client().force_login(person)
    return person


def told(tenant: Tenant, name: str, ann: User) -> list[str]:
    """Do everything to an invited person that a steward can, and return all that the tenant learns from it."""
    api, browser = Api(make_token(tenant, ann)), step_up(sign_in(ann))
    found: list[Any] = []
    with unit_of_work(tenant.id):
        last = Receipt.objects.order_by("-id").values_list("id", flat=True).first() or UUID(int=0)
    added = api.post(
        "/principals", {"principal": name, "kind": "human", "display_name": "Somebody", "roles": ["viewer"]}
    )
    assert added.status_code == 201, added.content
    found += [added.json(), api.get(f"/principals/{name}").json()]
    found += [one for one in api.get("/principals").json()["data"] if one["principal"] == name]
    made(api.post("/groups", {"group_id": "team", "spec": {"members": [name]}}))
    made(api.post(f"/principals/{name}/roles", {"roles": ["viewer", "auditor"]}))
    tag = api.get(f"/workflows/wages/grants/{name}")["ETag"]
    made(api.put(f"/workflows/wages/grants/{name}", {"scopes": ["workitems:read"]}, headers={"If-Match": tag}))
    found += [one for one in api.get("/grants").json()["data"] if one["principal"] == name]
    with unit_of_work(tenant.id):
        review = start_review(ctx=acting(tenant, ann))
        AccessReview.objects.filter(id=review.id).update(finished_at=review.started_at, finished_by=ann.id)
    entries = api.get(f"/access-reviews/{review.public_id}/entries").json()["data"]
    found += [one for one in entries if one["principal"] == added.json()["invitation_id"]]
    key = added.json()["invitation_id"]
    page = browser.get(f"/console/tenancy/membership/{key}/")
    assert page.status_code == 200
    found += [page.content.decode()]
    for address in (
        "/console/tenancy/membership/",
        "/console/tenancy/role/auditor/",
        "/console/tenancy/peoplegroup/team/",
        "/console/tenancy/accesspage/",
        f"/console/tenancy/accountlink/{key}/",
        f"/console/security-history/{key}/",
    ):
        found += [browser.get(address).content.decode()]
    found += [browser.post(f"/console/tenancy/membership/{key}/end-sessions/", follow=True).content.decode()]
    found += [api.post(f"/principals/{name}/invite", {}).json()]
    person = User.objects.get(username=name)
    with unit_of_work(tenant.id):
        found += [ways_to_act(person, ctx=stepped_up(acting(tenant, ann)))]
        end_access(person, ctx=stepped_up(acting(tenant, ann)))
    made(api.post("/groups", {"group_id": "team", "spec": {"members": []}}))
    assert api.delete(f"/principals/{name}").status_code == 204
    with unit_of_work(tenant.id):
        assert not Membership.objects.filter(user=person).exists()
        rows = Receipt.objects.filter(id__gt=last).order_by("id")
        found += [json.loads(bytes(row.body)) for row in rows if row.kind != "session.signed_in"]
        found += [row.arguments for row in ChangeSet.objects.order_by("id")]
    texts = [one if isinstance(one, str) else json.dumps(one, sort_keys=True, default=str) for one in found]
    assert person.public_id not in "".join(texts)
    return [masked(text, name) for text in texts]


def masked(text: str, name: str) -> str:
    """Return a text with what always differs replaced: the name, ids, digests and times."""
    for pattern, replacement in _VARIES:
        text = pattern.sub(replacement, text)
    return _ID.sub(r"\1_ID", text).replace(name, "NAME")


def test_an_invitation_tells_nothing_of_accounts_elsewhere(
    tenant: Tenant, other_tenant: Tenant, ann: User, taken: User
) -> None:
    made(Api(make_token(tenant, ann)).post("/workflows", {"workflow_id": "wages", "spec": {"actions": ["pay"]}}))
    one, other = (told(tenant, name, ann) for name in NAMES)
    assert len(one) == len(other)
    for first, second in zip(one, other, strict=True):
        assert first.splitlines() == second.splitlines()
    assert "Tara" not in "".join(one)
    assert "tara@globex.test" not in "".join(one)
    assert User.objects.get(id=taken.id).check_password(PASSWORD)
    assert taken.console_sessions.count() == 1
    with unit_of_work(tenant.id):
        assert list(verify_completeness(tenant)) == []


def test_the_account_is_named_once_the_invitation_is_accepted(tenant: Tenant, ann: User) -> None:
    api = Api(make_token(tenant, ann))
    invited = api.post("/principals", {"principal": "fresh", "kind": "human", "display_name": "Fresh"}).json()
    assert (invited["principal_id"], invited["state"], invited["display_name"]) == (None, "invited", None)
    with unit_of_work(tenant.id):
        link = AccountLink.objects.get()
        assert invited["invitation_id"] == link.public_id
        Membership.objects.filter(user=link.user).update(accepted_at=link.created_at)
    accepted = api.get("/principals/fresh").json()
    person = User.objects.get(username="fresh")
    assert (accepted["principal_id"], accepted["invitation_id"]) == (person.public_id, None)
    assert (accepted["state"], accepted["display_name"]) == ("active", "Fresh")
    with unit_of_work(tenant.id):
        assert list(verify_completeness(tenant)) == []


def test_ids_of_new_accounts_have_no_time(tenant: Tenant) -> None:
    person, service = make_principal(tenant, "bob"), make_principal(tenant, "robot", "service")
    assert (person.id.version, service.id.version) == (4, 4)
    assert tenant.id.version == 7


def test_ids_do_not_count_those_of_others() -> None:
    """A counter of the process would differ by one between ids that two tenants get in the same millisecond."""
    found: dict[str, list[UUID]] = {"one": [], "two": []}

    def make(whose: str) -> None:
        found[whose] = [ids.new_uuid() for _ in range(2_000)]

    threads = [threading.Thread(target=make, args=(whose,)) for whose in found]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(own == sorted(own) and len(set(own)) == len(own) for own in found.values())
    everything = sorted(one.int for own in found.values() for one in own)
    assert min(after - before for before, after in itertools.pairwise(everything)) > 1
    assert all(one.version == 7 and one.variant == "specified in RFC 4122" for own in found.values() for one in own)


def test_a_steward_ends_no_sessions_of_somebody_who_is_only_invited(tenant: Tenant, ann: User, taken: User) -> None:
    api = Api(make_token(tenant, ann))
    made(api.post("/principals", {"principal": "taken", "kind": "human"}))
    with pytest.raises(errors.Conflict, match="has not accepted"), unit_of_work(tenant.id):
        end_sessions_of(taken, ctx=stepped_up(acting(tenant, ann)))
    assert api.delete("/principals/taken").status_code == 204
    assert taken.console_sessions.count() == 1
