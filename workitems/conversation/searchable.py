"""Texts of conversations by which work items are found: what every reader of the item may read."""

from __future__ import annotations

import uuid
from collections import defaultdict
from collections.abc import Mapping, Sequence

from django.db.models import F

from threada_site.personal_data.erasable_fields import is_erased
from workitems.conversation.models import Audience
from workitems.models import CommentVersion, RequesterQuestion


def conversation_texts(item_ids: Sequence[uuid.UUID]) -> Mapping[uuid.UUID, Sequence[str]]:
    """Return the newest texts of comments for everyone, and questions with answers, by work item.

    Comments for those who decide are left out: a requester who searches could guess them.
    """
    found: defaultdict[uuid.UUID, list[str]] = defaultdict(list)
    versions = CommentVersion.objects.filter(
        work_item_id__in=item_ids,
        number=F("comment__version"),
        comment__audience=Audience.EVERYONE,
        comment__removed_at=None,
    )
    for work_item_id, text in versions.order_by("id").values_list("work_item_id", "text"):
        found[work_item_id].append(text)
    questions = RequesterQuestion.objects.filter(work_item_id__in=item_ids).order_by("id")
    for work_item_id, *texts in questions.values_list("work_item_id", "text", "answer"):
        found[work_item_id] += texts
    return {item: [text for text in texts if text and not is_erased(text)] for item, texts in found.items()}
