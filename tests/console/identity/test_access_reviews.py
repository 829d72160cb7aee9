"""Access reviews: who sees them, a fixed list, decisions of people about others, an end, and receipts."""

from __future__ import annotations

from django.test import Client
from django.utils.html import strip_tags

from telemetry.models import Receipt
from tests.console.sign_in import Console, confirm, sign_in
from tests.factories import make_principal, make_tenant
from tests.journeys.demo import Demo
from threada_site.database.unit_of_work import unit_of_work
from threada_site.kernel.json.canonical import canonical_sha256
from threada_site.tenancy.authority_models import DependenceReason
from threada_site.tenancy.models import (
    AccessReview,
    AccessReviewEntry,
    AccountDependence,
    ChangeSet,
    GrantRecord,
    Membership,
    User,
)

HOLDERS = "/console/tenancy/accessholder/"
REVIEWS = "/console/tenancy/accessreview/"
ENTRIES = "/console/tenancy/accessreviewentry/"


def entries(demo: Demo) -> dict[str, AccessReviewEntry]:
    with unit_of_work(demo.tenant.id):
        return {row.user.username: row for row in AccessReviewEntry.objects.select_related("user", "review")}


def started(demo: Demo, steward: Client) -> AccessReview:
    confirm(steward, f"{REVIEWS}new/")
    with unit_of_work(demo.tenant.id):
        return AccessReview.objects.get()


def bulk(browser: Client, rows: list[AccessReviewEntry], do: str, comment: str = "") -> str:
    sent = {"do": do, "row": [row.public_id for row in rows], "confirmed": "true", "given_reason": comment}
    return strip_tags(browser.post(f"{ENTRIES}bulk/", sent).content.decode())


def test_a_review_is_started_attested_and_finished(demo: Demo, console: Console) -> None:
    demo.join("robot", kind="agent")
    steward = console("admin")
    page = steward.get(HOLDERS).content.decode()
    assert "finance-1" in page
    assert "robot" in page
    assert "operator" in page
    listed = steward.get(HOLDERS, {"concern": "owner_left"}).content.decode()
    assert "robot" in listed
    assert "finance-1" not in listed
    for concern, name in (("manages", "admin"), ("never_signed_in", "finance-2")):
        assert name in steward.get(HOLDERS, {"concern": concern}).content.decode()
    assert "finance-1" not in steward.get(HOLDERS, {"concern": "unused"}).content.decode(), "a member since today"
    table = b"".join(steward.post(f"{HOLDERS}csv/", {}).streaming_content).decode()  # type: ignore[attr-defined]
    assert "robot" in table
    assert "approver" in table

    with unit_of_work(demo.tenant.id):
        GrantRecord.objects.filter(user__username="finance-2", kind="role").delete()
    review = started(demo, steward)
    found = entries(demo)
    assert {"kind": "role", "name": "approver", "since": None, "by": None} in found["finance-2"].holds["holds"]
    with unit_of_work(demo.tenant.id):
        fixed = [row.holds for row in AccessReviewEntry.objects.order_by("id")]
        assert (review.entry_count, review.sha256) == (Membership.objects.count(), canonical_sha256(fixed))
    assert "Another access review is open" in confirm(steward, f"{REVIEWS}new/").content.decode()

    assert "0 of 1 done." in bulk(steward, [found["admin"]], "keep"), "nobody decides about the own access"
    others = [row for name, row in found.items() if name not in ("admin", "finance-1")]
    assert f"{len(others)} of {len(others)} done." in bulk(steward, others, "keep")
    assert "0 of 1 done." in bulk(steward, [found["finance-1"]], "ask_removal"), "a removal needs a comment"
    assert "1 of 1 done." in bulk(steward, [found["finance-1"]], "ask_removal", "Left the team.")
    with unit_of_work(demo.tenant.id):
        assert Membership.objects.filter(user__username="finance-1").exists(), "an attestation removes nobody"
        assert not ChangeSet.objects.exists()
    finish = f"{REVIEWS}{review.public_id}/finish/"
    assert "1 entries have no decision" in confirm(steward, finish, follow=True).content.decode()
    demo.join("other-admin", roles=("tenant_admin",))
    with unit_of_work(demo.tenant.id):
        other = User.objects.get(username="other-admin")
        controlled = AccountDependence.objects.create(
            tenant_id=demo.tenant.id, user=other, depends_on=found["admin"].user, reason=DependenceReason.CREATED
        )
    assert "0 of 1 done." in bulk(console("other-admin"), [found["admin"]], "keep"), "the admin controls the account"
    with unit_of_work(demo.tenant.id):
        controlled.delete()
    assert "1 of 1 done." in bulk(console("other-admin"), [found["admin"]], "keep")
    page = confirm(steward, finish, follow=True).content.decode()
    assert "The review is finished." in page
    assert "1 still members" in page
    assert "0 of 1 done." in bulk(steward, [found["robot"]], "ask_removal", "Too late."), "it is finished"
    with unit_of_work(demo.tenant.id):
        kinds = list(Receipt.objects.filter(kind__startswith="access_review.").values_list("kind", flat=True))
    assert kinds.count("access_review.attested") == len(found)
    assert {"access_review.started", "access_review.finished"} <= set(kinds)


def test_only_stewards_and_auditors_see_it_and_only_stewards_decide(demo: Demo, console: Console) -> None:
    review = started(demo, console("admin"))
    entry = entries(demo)["finance-1"]
    pages = (HOLDERS, REVIEWS, f"{REVIEWS}{review.public_id}/", ENTRIES, f"{ENTRIES}{entry.public_id}/")
    demo.join("auditor-1", roles=("auditor",))
    auditor = console("auditor-1")
    assert {auditor.get(page).status_code for page in pages} == {200}
    assert {console("finance-1").get(page).status_code for page in pages} == {403}
    other = make_tenant("elsewhere")
    stranger = sign_in(make_principal(other, "stranger", roles=("auditor",)))
    for page in pages[2::2]:
        assert stranger.get(page).status_code == 404
    assert "finance-1" not in stranger.get(HOLDERS).content.decode() + stranger.get(ENTRIES).content.decode()
    assert bulk(auditor, [entry], "keep").find("done") == -1
    auditor.post(f"{ENTRIES}{entry.public_id}/keep/", {"given_reason": "forged"})
    confirm(auditor, f"{REVIEWS}{review.public_id}/finish/")
    forged = Client(enforce_csrf_checks=True)
    forged.cookies = console("admin").cookies
    assert forged.post(f"{ENTRIES}{entry.public_id}/keep/", {}).status_code == 403
    assert entries(demo)["finance-1"].decision == ""
