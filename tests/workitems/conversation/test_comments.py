"""Comments on work items: who writes and reads them, edits, removal, limits, receipts."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import connection

from tests.client import Api
from tests.factories import make_principal, make_tenant, make_token
from tests.jobs import run_jobs
from tests.workitems.office import Office
from tests.workitems.people_cases import about_people, payload, readable_answers
from threada_site.database.unit_of_work import unit_of_work
from threada_site.identity.grants.role_grants import grant_role
from threada_site.identity.roles import define_role
from threada_site.kernel import clock, errors
from threada_site.kernel.context import Scope, Visibility
from threada_site.personal_data.erasable_fields import is_erased
from threada_site.tenancy.models import Role
from workitems.conversation import limits, selectors
from workitems.conversation.comments import Posted, add_comment, edit_comment, remove_comment
from workitems.conversation.models import Audience
from workitems.models import Comment, CommentVersion, LegalHold, NoticeMessage, WorkItem

pytestmark = pytest.mark.django_db


def say(office: Office, item: WorkItem, text: str = "Fine with me.", by: str = "fay", **more: Any) -> Posted:
    posted: Posted = office.on_item(item, lambda locked, ctx: add_comment(locked, text, ctx=ctx, **more), by=by)
    return posted


def texts(office: Office, item: WorkItem, name: str) -> list[str]:
    answer = office.api(name).get(f"/work-items/{item.public_id}/comments")
    assert answer.status_code == 200
    return [comment["text"] for comment in answer.json()["data"]]


def messages(office: Office, kind: str) -> dict[str, list[str]]:
    run_jobs()
    names = {user.id: name for name, user in office.people.items()}
    with unit_of_work(office.tenant.id):
        rows = NoticeMessage.objects.filter(notice__kind=kind).order_by("id")
        found: dict[str, list[str]] = {}
        for row in rows:
            found.setdefault(names[row.recipient_id], []).append(row.status)
        return found


class TestApi:
    def test_a_comment_is_added_edited_and_removed(self, office: Office) -> None:
        item = office.decided()
        path = f"/work-items/{item.public_id}/comments"
        fay = office.api("fay")
        answer = fay.post(path, {"text": "Looks *good*."})
        assert answer.status_code == 201
        comment = answer.json()
        assert answer.headers["Location"] == f"{path}/{comment['comment_id']}"
        assert (comment["author_kind"], comment["audience"], comment["version"]) == ("human", "everyone", 1)
        one = f"{path}/{comment['comment_id']}"
        edited = fay.edit(one, {"text": "Looks bad."})
        assert (edited.status_code, edited.json()["version"]) == (200, 2)
        versions = office.api("rita").get(one).json()["versions"]
        assert [version["text"] for version in versions] == ["Looks *good*.", "Looks bad."]
        assert versions[0]["replaced_at"] == versions[1]["created_at"]
        assert fay.delete(one).status_code == 204
        removed = office.api("rita").get(one).json()
        assert (removed["text"], removed["versions"]) == (None, [])
        assert removed["removed_at"] is not None
        assert fay.edit(one, {"text": "Again"}).json()["reason_code"] == "comment_removed"

    def test_pages_have_cursors(self, office: Office) -> None:
        item = office.decided()
        for number in range(3):
            say(office, item, f"number {number}")
        path = f"/work-items/{item.public_id}/comments"
        page = office.api("wim").get(path, {"limit": 2}).json()
        assert [comment["text"] for comment in page["data"]] == ["number 2", "number 1"]
        rest = office.api("wim").get(path, {"limit": 2, "cursor": page["next_cursor"]}).json()
        assert [comment["text"] for comment in rest["data"]] == ["number 0"]

    def test_services_are_marked(self, office: Office) -> None:
        office.join("robot", kind="agent", roles=("operator",))
        item = office.decided()
        answer = office.api("robot").post(f"/work-items/{item.public_id}/comments", {"text": "I checked it."})
        assert answer.json()["author_kind"] == "agent"

    def test_readers_do_not_write(self, office: Office) -> None:
        item = office.decided()
        answer = office.api("wim").post(f"/work-items/{item.public_id}/comments", {"text": "Hello"})
        assert (answer.status_code, answer.json()["reason_code"]) == (403, "permission_denied")

    def test_strangers_find_nothing(self, office: Office) -> None:
        item = office.decided()
        comment = say(office, item).comment
        stranger_tenant = make_tenant("other")
        stranger = Api(make_token(stranger_tenant, make_principal(stranger_tenant, "eve", roles=("tenant_admin",))))
        office.join("ron")
        for api in (stranger, office.api("ron")):
            path = f"/work-items/{item.public_id}/comments"
            one = f"{path}/{comment.public_id}"
            answers = [api.get(path), api.post(path, {"text": "x"}), api.get(one), api.patch(one, {"text": "x"})]
            answers += [api.delete(one), api.get(f"/work-items/{item.public_id}/watch")]
            assert {answer.status_code for answer in answers} == {404}

    def test_a_comment_of_another_item_is_not_found(self, office: Office) -> None:
        comment = say(office, office.decided()).comment
        other = office.decided()
        answer = office.api("fay").get(f"/work-items/{other.public_id}/comments/{comment.public_id}")
        assert answer.status_code == 404

    def test_a_repeated_request_adds_one_comment(self, office: Office) -> None:
        item = office.decided()
        path, key = f"/work-items/{item.public_id}/comments", {"Idempotency-Key": "once"}
        first = office.api("fay").post(path, {"text": "Once"}, headers=key)
        assert office.api("fay").post(path, {"text": "Once"}, headers=key).json() == first.json()
        assert texts(office, item, "fay") == ["Once"]


class TestAudience:
    def test_comments_for_deciders_are_hidden_from_the_requester(self, office: Office) -> None:
        item = office.decided()
        comment = say(office, item, "Check the vendor twice.", audience=Audience.DECIDERS).comment
        assert texts(office, item, "finn") == ["Check the vendor twice."]
        assert texts(office, item, "rita") == []
        assert texts(office, item, "wim") == [], "viewers decide nothing"
        one = f"/work-items/{item.public_id}/comments/{comment.public_id}"
        assert office.api("rita").get(one).status_code == 404

    def test_their_receipts_are_in_no_timeline_of_the_requester(self, office: Office) -> None:
        item = office.decided()
        say(office, item, audience=Audience.DECIDERS)
        say(office, item)

        def kinds(name: str) -> list[str]:
            answer = office.api(name).get(f"/work-items/{item.public_id}/timeline").json()
            return [event["kind"] for event in answer["data"]]

        assert "internal_comment.added" in kinds("fay")
        assert "internal_comment.added" not in kinds("rita")
        assert "comment.added" in kinds("rita")

    def test_a_requester_who_decides_elsewhere_reads_none(self, office: Office) -> None:
        item = office.decided(by="ada")
        say(office, item, audience=Audience.DECIDERS)
        assert texts(office, item, "ada") == []
        with pytest.raises(errors.PermissionDenied):
            say(office, item, by="ada", audience=Audience.DECIDERS)

    def test_requesters_do_not_write_for_deciders(self, office: Office) -> None:
        item = office.decided()
        with pytest.raises(errors.PermissionDenied):
            say(office, item, by="rita", audience=Audience.DECIDERS)

    def test_row_level_security_hides_them_from_readers_of_own_cases(self, office: Office) -> None:
        item = office.decided()
        say(office, item, "secret", audience=Audience.DECIDERS)
        say(office, item, "open")
        with unit_of_work(office.tenant.id, actor=office.ctx("rita")):
            assert Comment.objects.count() == 1
            assert [version.text for version in CommentVersion.objects.all()] == ["open"]
        with unit_of_work(office.tenant.id, actor=office.ctx("fay")):
            assert Comment.objects.count() == 2

    def test_owners_of_the_requesting_agent_read_none(self, office: Office) -> None:
        office.join("robot", kind="agent")
        with unit_of_work(office.tenant.id):
            from threada_site.tenancy.models import Membership

            Membership.objects.filter(user=office.people["robot"]).update(owner=office.people["fay"])
        item = office.decided(by="robot")
        say(office, item, by="finn", audience=Audience.DECIDERS)
        assert texts(office, item, "fay") == []
        assert len(texts(office, item, "finn")) == 1


class TestMentions:
    def test_readers_are_notified_and_others_are_not(self, office: Office) -> None:
        office.join("ron")
        item = office.decided()
        posted = say(office, item, "@finn @ron @nobody @fay please look")
        assert posted.notified == ("finn", "fay")
        assert posted.unnotified == ("ron", "nobody")
        assert messages(office, "mentioned").keys() == {"finn"}
        assert messages(office, "commented").keys() == {"rita"}

    def test_a_mention_shows_the_item_to_nobody(self, office: Office) -> None:
        office.join("ron")
        item = office.decided()
        say(office, item, "@ron")
        messages(office, "mentioned")
        assert office.api("ron").get(f"/work-items/{item.public_id}").status_code == 404

    def test_a_comment_for_deciders_notifies_no_requester(self, office: Office) -> None:
        item = office.decided()
        posted = say(office, item, "@rita @finn", audience=Audience.DECIDERS)
        assert posted.unnotified == ("rita",)
        assert messages(office, "mentioned").keys() == {"finn"}
        assert messages(office, "commented") == {}

    def test_an_edit_notifies_only_people_who_are_mentioned_anew(self, office: Office) -> None:
        item = office.decided()
        comment = say(office, item, "@finn").comment
        office.on_item(item, lambda locked, ctx: edit_comment(locked, comment.id, "@finn @fred", ctx=ctx), by="fay")
        assert {name: len(sent) for name, sent in messages(office, "mentioned").items()} == {"finn": 1, "fred": 1}

    def test_a_flood_of_mentions_is_refused(self, office: Office) -> None:
        with pytest.raises(errors.ConversationLimit):
            say(office, office.decided(), " ".join(f"@person{number}" for number in range(11)))


class TestLimits:
    def test_size(self, office: Office) -> None:
        item = office.decided()
        say(office, item, "x" * limits.MOST_CHARACTERS)
        with pytest.raises(errors.CommentTooLong):
            say(office, item, "x" * (limits.MOST_CHARACTERS + 1))
        with pytest.raises(errors.InvalidRequest):
            say(office, item, " \n ")

    def test_rate(self, office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(limits, "MOST_PER_HOUR", 2)
        item = office.decided()
        say(office, item)
        say(office, item)
        with pytest.raises(errors.RateLimited):
            say(office, item)
        say(office, item, by="finn")

    def test_number_of_comments(self, office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(limits, "MOST_COMMENTS", 1)
        item = office.decided()
        say(office, item)
        with pytest.raises(errors.ConversationLimit):
            say(office, item)

    def test_number_of_edits(self, office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(limits, "MOST_VERSIONS", 1)
        item = office.decided()
        comment = say(office, item).comment
        with pytest.raises(errors.ConversationLimit):
            office.on_item(item, lambda locked, ctx: edit_comment(locked, comment.id, "b", ctx=ctx), by="fay")


class TestEdits:
    def test_history_says_what_was_shown_at_each_vote(self, office: Office) -> None:
        item, step, _ = office.awaiting()
        comment = say(office, item, "The amount is right.", by="vera").comment
        first = office.vote(step, "fay")
        office.on_item(
            item, lambda locked, ctx: edit_comment(locked, comment.id, "The amount is wrong.", ctx=ctx), by="vera"
        )
        second = office.vote(step, "finn")
        versions = (
            office.api("rita").get(f"/work-items/{item.public_id}/comments/{comment.public_id}").json()["versions"]
        )
        assert [version["votes_meanwhile"] for version in versions] == [[first.public_id], [second.public_id]]

    def test_only_the_author_edits(self, office: Office) -> None:
        item = office.decided()
        comment = say(office, item).comment
        for name in ("finn", "ada"):
            with pytest.raises(errors.PermissionDenied):
                office.on_item(item, lambda locked, ctx: edit_comment(locked, comment.id, "x", ctx=ctx), by=name)

    def test_an_unchanged_text_is_no_version(self, office: Office) -> None:
        item = office.decided()
        comment = say(office, item, "same").comment
        office.on_item(item, lambda locked, ctx: edit_comment(locked, comment.id, "same", ctx=ctx), by="fay")
        assert office.count(CommentVersion) == 1

    def test_versions_cannot_be_changed(self, office: Office) -> None:
        say(office, office.decided())
        with unit_of_work(office.tenant.id), pytest.raises(Exception, match=r"append-only|permission denied"):
            CommentVersion.objects.update(text="forged")

    def test_ended_items_take_comments(self, office: Office) -> None:
        item, step, _ = office.awaiting()
        office.vote(step, "fay", "reject")
        assert office.item(item).status == "rejected"
        say(office, item, "For the record.")
        assert office.item(item).status == "rejected"


class TestRemoval:
    def remove(self, office: Office, item: WorkItem, comment: Comment, by: str = "fay") -> None:
        office.on_item(item, lambda locked, ctx: remove_comment(locked, comment.id, ctx=ctx), by=by)

    def test_texts_are_erased(self, office: Office) -> None:
        item = office.decided()
        comment = say(office, item, "a secret").comment
        self.remove(office, item, comment)
        run_jobs()
        with unit_of_work(office.tenant.id):
            version = CommentVersion.objects.get()
            assert is_erased(version.text)
            assert is_erased(version.text_salt)
            assert Comment.objects.get().erased_at is not None
        with connection.cursor() as cursor:
            cursor.execute("SELECT count(*) FROM workitems_commentversion WHERE text LIKE '%secret%'")
            assert cursor.fetchone() == (0,)

    @pytest.mark.parametrize("is_about_a_person", [False, True], ids=["key of the instance", "key of a person"])
    def test_stored_answers_are_forgotten(self, office: Office, is_about_a_person: bool) -> None:
        if is_about_a_person:
            about_people(office)
        item = office.decided(payload=payload()) if is_about_a_person else office.decided()
        fay, path = office.api("fay"), f"/work-items/{item.public_id}/comments"
        comment = fay.post(path, {"text": "a secret"}, headers={"Idempotency-Key": "once"}).json()
        kept = fay.post(path, {"text": "another"}, headers={"Idempotency-Key": "other"})
        assert [b"a secret" in answer for answer in readable_answers(office)] == [True, False]
        fay.delete(f"{path}/{comment['comment_id']}")
        assert readable_answers(office) == [kept.content]
        again = fay.post(path, {"text": "a secret"}, headers={"Idempotency-Key": "once"})
        assert (again.status_code, again.json()["reason_code"]) == (409, "idempotency_answer_gone")
        assert office.count(Comment) == 2

    def test_a_legal_hold_keeps_texts_until_its_end(self, office: Office) -> None:
        item = office.decided()
        comment = say(office, item).comment
        with unit_of_work(office.tenant.id):
            hold = LegalHold.objects.create(tenant=office.tenant, work_item_id=item.id, reason="x", set_by=None)
        self.remove(office, item, comment)
        run_jobs()
        assert texts(office, item, "finn") == [None]
        with unit_of_work(office.tenant.id):
            assert CommentVersion.objects.get().text == "Fine with me."
            LegalHold.objects.filter(id=hold.id).update(lifted_at=clock.now())
        from workitems.conversation.erase import sweep_removed

        assert sweep_removed() == 1
        with unit_of_work(office.tenant.id):
            assert is_erased(CommentVersion.objects.get().text)

    def test_a_manager_removes_and_others_do_not(self, office: Office) -> None:
        item = office.decided()
        comment = say(office, item).comment
        with pytest.raises(errors.PermissionDenied):
            self.remove(office, item, comment, by="finn")
        self.remove(office, item, comment, by="ada")
        with unit_of_work(office.tenant.id):
            assert Comment.objects.get().removed_by == office.people["ada"].id


class TestReceipts:
    def test_receipts_contain_no_text(self, office: Office) -> None:
        item = office.decided()
        comment = say(office, item, "Xylophone @finn").comment
        office.on_item(item, lambda locked, ctx: edit_comment(locked, comment.id, "Zither", ctx=ctx), by="fay")
        office.on_item(item, lambda locked, ctx: remove_comment(locked, comment.id, ctx=ctx), by="fay")
        bodies = [*office.bodies("comment.added"), *office.bodies("comment.edited"), *office.bodies("comment.removed")]
        assert len(bodies) == 3
        assert "ylophone" not in str(bodies)
        assert "ither" not in str(bodies)
        assert bodies[0]["inputs"]["comment_id"] == comment.public_id
        assert bodies[0]["inputs"]["text_commitment"] != bodies[1]["inputs"]["text_commitment"]

    def test_comments_change_neither_item_nor_step(self, office: Office) -> None:
        item, step, _ = office.awaiting()
        before = office.item(item)
        say(office, item, "I reject this!")
        after = office.item(item)
        assert (before.version, before.status, before.updated_at) == (after.version, after.status, after.updated_at)
        assert office.step(step).envelope_sha256 == step.envelope_sha256


def test_own_deciders_read_comments_for_deciders_of_items_that_name_them(office: Office) -> None:
    with unit_of_work(office.tenant.id):
        define_role("own-decider", frozenset({Scope.WORKITEMS_READ, Scope.DECISIONS_DECIDE}), ctx=office.system)
        Role.objects.filter(tenant_id=office.tenant.id, slug="own-decider").update(visibility=Visibility.OWN)
        define_role("finance2", frozenset({Scope.WORKITEMS_READ}), ctx=office.system)
    office.join("olga", roles=("own-decider",))
    with unit_of_work(office.tenant.id):
        grant_role(office.people["olga"], "finance2", ctx=office.system)
        Role.objects.filter(tenant_id=office.tenant.id, slug="finance2").update(visibility=Visibility.OWN)
    item = office.decided()
    say(office, item, "secret", audience=Audience.DECIDERS)
    from workitems.models import Participant

    with unit_of_work(office.tenant.id):
        Participant.objects.create(tenant=office.tenant, work_item_id=item.id, principal=office.people["olga"])
    assert texts(office, item, "olga") == ["secret"]
    ctx = office.ctx("olga")
    with unit_of_work(office.tenant.id, actor=ctx):
        found = list(selectors.comments(office.item(item), ctx=ctx))
    assert len(found) == 1
