"""Comments on work items: added, edited and removed. Every version of a text is kept until it is erased.

A comment decides nothing and changes nothing of the case. It may be written on ended work items too. Receipts contain
commitments to texts, never texts.
"""

from __future__ import annotations

import uuid
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

from threada_site.database.batched_writes import batched_writes, insert_rows, update_row
from threada_site.database.unit_of_work import require_unit_of_work
from threada_site.kernel import clock, errors, ids
from threada_site.kernel.context import ActingContext, PrincipalKind, Scope
from threada_site.kernel.json.canonical import commitment
from threada_site.tenancy.members import Member, members
from threada_site.tenancy.models import Membership
from workitems.approvers.readers import readers_among
from workitems.attachments.payload_files import as_json as file_json
from workitems.conversation import limits
from workitems.conversation.audience import check_may_write, hidden_from, may_read_all
from workitems.conversation.erase import erase_removed, forget_answers_with
from workitems.conversation.files import usable_files, use_in_comment
from workitems.conversation.markdown import mentions_in
from workitems.conversation.models import Audience
from workitems.items.erasable_fields import require_contents
from workitems.items.receipts import record_item
from workitems.models import Attachment, Comment, CommentVersion, WorkItem
from workitems.notices.enqueue import conversation_notice
from workitems.search.changes import note_change


@dataclass(frozen=True, slots=True)
class Posted:
    """A comment with the version that was written.

    `notified` are the usernames of mentioned people who get a message. `unnotified` are the other mentioned names:
    nobody with this name may read the comment.
    """

    comment: Comment
    version: CommentVersion
    notified: tuple[str, ...]
    unnotified: tuple[str, ...]


def add_comment(
    item: WorkItem,
    text: str,
    *,
    audience: Audience = Audience.EVERYONE,
    attachments: Sequence[str] = (),
    ctx: ActingContext,
) -> Posted:
    """Add a comment to a locked work item. Receipt `comment.added`, for deciders `internal_comment.added`.

    `attachments` are ids of files that the caller uploaded. Raises `PermissionDenied`, `ContentsRemoved`,
    `InvalidRequest`, `CommentTooLong`, `ConversationLimit`, `RateLimited`, `QuotaExceeded`, `AttachmentNotUsable`.
    """
    require_unit_of_work(ctx.tenant_id)
    check_may_write(item, audience, ctx=ctx)
    text = limits.checked_text(text)
    limits.check_rate(ctx=ctx)
    limits.check_comments(item)
    files = usable_files(attachments, ctx=ctx)
    hidden = sorted(hidden_from(item)) if audience is Audience.DECIDERS else []
    comment = Comment(
        tenant_id=ctx.tenant_id,
        work_item_id=item.id,
        author_id=ctx.principal_id,
        author_kind=ctx.principal_kind.value,
        audience=audience.value,
        hidden_from=hidden,
        created_at=clock.now(),
    )
    posted = _write(item, comment, text, number=1, files=files, ctx=ctx)
    use_in_comment(files, comment)
    return posted


def edit_comment(item: WorkItem, comment_id: uuid.UUID, text: str, *, ctx: ActingContext) -> Posted:
    """Replace the text of the caller's comment. The earlier version is kept and shown in its history.

    Receipt `comment.edited`. An unchanged text changes nothing. Raises the errors of `add_comment`, `NotFound`, and
    `CommentRemoved`.
    """
    require_unit_of_work(ctx.tenant_id)
    comment = _locked(item, comment_id, ctx=ctx)
    if comment.author_id != ctx.principal_id:
        raise errors.PermissionDenied("Only its author edits a comment. Write another comment.")
    check_may_write(item, Audience(comment.audience), ctx=ctx)
    text = limits.checked_text(text)
    newest = CommentVersion.objects.get(tenant_id=ctx.tenant_id, comment=comment, number=comment.version)
    if newest.text == text:
        return Posted(comment, newest, (), ())
    limits.check_rate(ctx=ctx)
    if comment.version >= limits.MOST_VERSIONS:
        raise errors.ConversationLimit(f"The comment was edited {comment.version - 1} times. Write another comment.")
    return _write(item, comment, text, number=comment.version + 1, before=newest.mentioned_ids, ctx=ctx)


def remove_comment(item: WorkItem, comment_id: uuid.UUID, *, ctx: ActingContext) -> Comment:
    """Remove a comment: erase its texts, and keep a marker. Under a legal hold, hide the texts until its end.

    The author removes it, or a person with `workflow:manage`. Receipt `comment.removed`. A removed comment is left
    unchanged. Raises `NotFound`, `PermissionDenied`.
    """
    require_unit_of_work(ctx.tenant_id)
    comment = _locked(item, comment_id, ctx=ctx, also_removed=True)
    manages = ctx.is_person and ctx.allows(Scope.WORKFLOW_MANAGE, workflow=item.workflow_version.workflow_id)
    if comment.author_id != ctx.principal_id and not manages:
        raise errors.PermissionDenied("Its author, or a person with workflow:manage, removes a comment.")
    if comment.removed_at is not None:
        return comment
    comment.removed_at = clock.now()
    comment.removed_by = ctx.principal_id
    comment.save(update_fields=["removed_at", "removed_by"])
    note_change(item.id, tenant_id=item.tenant_id)
    forget_answers_with(comment, ctx=ctx)
    _record("removed", item, comment, {"version": comment.version}, ctx=ctx)
    erase_removed(comment)
    return comment


def receipt_kind(verb: str, comment: Comment) -> str:
    """Return the kind of a receipt about a comment. Timelines of the requester leave out comments for deciders."""
    return f"{'internal_' if comment.audience == Audience.DECIDERS else ''}comment.{verb}"


def _write(
    item: WorkItem,
    comment: Comment,
    text: str,
    *,
    number: int,
    before: Collection[uuid.UUID] = (),
    files: Sequence[Attachment] = (),
    ctx: ActingContext,
) -> Posted:
    """Store a version, its receipt and its notices. `before`: people who were mentioned by the previous version."""
    names = mentions_in(text)
    limits.check_mentions(names)
    readers = _mentioned(item, names, comment)
    known = {member.username for member in readers}
    to_notify = sorted(
        member.id for member in readers if member.kind is PrincipalKind.HUMAN and member.id != ctx.principal_id
    )
    version = CommentVersion(
        tenant_id=ctx.tenant_id,
        comment_id=comment.id,
        work_item_id=item.id,
        number=number,
        text=text,
        mentioned_ids=to_notify,
        hidden_from=comment.hidden_from,
        created_at=clock.now(),
    )
    with batched_writes():
        if number == 1:
            insert_rows(comment)
        else:
            comment.version, comment.edited_at = number, version.created_at
            update_row(comment, "version", "edited_at")
        insert_rows(version)
        note_change(item.id, tenant_id=item.tenant_id)
        inputs = {
            "version": number,
            "text_commitment": commitment(bytes(version.text_salt), text),
            "mentioned": [ids.public_id(ids.PRINCIPAL, person) for person in to_notify],
        }
        if files:
            listed = [file_json(file) for file in files]
            inputs["attachments_commitment"] = commitment(bytes(version.text_salt), listed)
        _record("added" if number == 1 else "edited", item, comment, inputs, ctx=ctx)
        newly = sorted(set(to_notify) - set(before))
        occurrence = f"{comment.public_id}.{number}"
        facts: dict[str, Any] = {
            "comment_id": comment.public_id,
            "hidden_from": [str(who) for who in version.hidden_from],
        }
        if newly:
            conversation_notice("mentioned", item, newly, ctx, occurrence=occurrence, **facts)
        if number == 1:
            told = {**facts, "mentioned": [str(person) for person in newly]}
            conversation_notice("commented", item, None, ctx, occurrence=occurrence, **told)
    return Posted(
        comment,
        version,
        notified=tuple(name for name in names if name in known),
        unnotified=tuple(name for name in names if name not in known),
    )


def _mentioned(item: WorkItem, names: Sequence[str], comment: Comment) -> list[Member]:
    """Return the mentioned members who may read the comment."""
    if not names:
        return []
    rows = Membership.objects.filter(tenant_id=item.tenant_id, user__username__in=names)
    found = members(item.tenant_id, among=list(rows.values_list("user_id", flat=True)))
    named = [member for member in found if member.username in names]
    return readers_among(item, named, hidden_from=comment.hidden_from)


def _locked(item: WorkItem, comment_id: uuid.UUID, *, ctx: ActingContext, also_removed: bool = False) -> Comment:
    """Return a comment of a locked work item, locked. Raises `NotFound` if the caller may not read it."""
    comment = (
        Comment.objects.select_for_update(of=("self",))
        .filter(tenant_id=ctx.tenant_id, work_item=item, id=comment_id)
        .first()
    )
    if comment is None or (comment.audience == Audience.DECIDERS and not may_read_all(item, ctx=ctx)):
        raise errors.NotFound
    if not also_removed:
        if comment.removed_at is not None:
            raise errors.CommentRemoved
        require_contents(item)
    return comment


def _record(verb: str, item: WorkItem, comment: Comment, inputs: dict[str, Any], *, ctx: ActingContext) -> None:
    record_item(
        receipt_kind(verb, comment),
        item,
        ctx=ctx,
        inputs={"comment_id": comment.public_id, "audience": comment.audience, **inputs},
        outcome={"status": item.status},
    )
