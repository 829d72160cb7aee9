"""Steps of the replay while typing, as JSON for the editor of policies."""

from __future__ import annotations

from typing import Any, Final

from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.utils.formats import number_format
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from policies import selectors
from policies.replay.preview import FIRST, MOST, PreviewCounts, PreviewStep, preview_step
from threada_site.admin.documents import one_document
from threada_site.kernel import ids
from threada_site.kernel.context import ActingContext, Scope
from threada_site.kernel.errors import EvaluatorBusy, EvaluatorFailed, ThreadaError

MOST_CHARACTERS: Final = 200_000
_RETRY_MS: Final = 400


def may_preview(ctx: ActingContext) -> bool:
    """Return True for writers of policies who may read reports of replays."""
    return ctx.allows(Scope.POLICIES_WRITE) and ctx.allows(Scope.WORKITEMS_READ)


def preview_answer(request: HttpRequest, key: str, ctx: ActingContext) -> HttpResponse:
    """Return the next step: counts so far, a sentence, and the cursor for the request after it."""
    policy = selectors.policy_by_slug(key, ctx=ctx)
    if policy is None:
        raise Http404
    text = request.POST.get("document", "").replace("\r\n", "\n")
    if len(text) > MOST_CHARACTERS:
        return JsonResponse({"state": "invalid", "text": ""})
    cursor = ids.parse_public_id(ids.POLICY_DECISION, request.POST.get("cursor", ""))
    counts = PreviewCounts.read(request.POST)
    most = MOST if request.POST.get("most") == str(MOST) else FIRST
    try:
        step = preview_step(policy, one_document(text).value, counts=counts, cursor=cursor, most=most, ctx=ctx)
    except (EvaluatorBusy, EvaluatorFailed):
        return JsonResponse({"state": "busy", "retry_ms": _RETRY_MS})
    except ThreadaError:  # the panel beside the text says what is wrong
        return JsonResponse({"state": "invalid", "text": ""})
    return JsonResponse(_as_json(step, most=most))


def _as_json(step: PreviewStep, *, most: int) -> dict[str, Any]:
    is_whole = step.is_over or step.counts.seen >= most
    return {
        "state": "finished" if is_whole else "running",
        "text": preview_sentence(step.counts),
        "counts": step.counts.as_json(),
        "cursor": ids.public_id(ids.POLICY_DECISION, step.cursor) if step.cursor else "",
        "has_more": is_whole and most < MOST and step.counts.seen >= most,
    }


def preview_sentence(counts: PreviewCounts) -> str:
    """Return the counts as a sentence, such as: Newest 2,000 decisions: 37 more approvals, 2 more denials."""
    if not counts.seen:
        return _("This policy has decided nothing yet.")
    parts = [
        text % {"count": _number(count)}
        for count, text in (
            (
                counts.approvals_more,
                ngettext("%(count)s more approval", "%(count)s more approvals", counts.approvals_more),
            ),
            (
                counts.approvals_fewer,
                ngettext("%(count)s fewer approval", "%(count)s fewer approvals", counts.approvals_fewer),
            ),
            (
                counts.approvals_changed,
                ngettext("%(count)s approval by others", "%(count)s approvals by others", counts.approvals_changed),
            ),
            (counts.denials_more, ngettext("%(count)s more denial", "%(count)s more denials", counts.denials_more)),
            (counts.denials_fewer, ngettext("%(count)s fewer denial", "%(count)s fewer denials", counts.denials_fewer)),
            (counts.others, ngettext("%(count)s other difference", "%(count)s other differences", counts.others)),
        )
        if count
    ]
    said = _("Newest %(seen)s decisions: %(differences)s.") % {
        "seen": _number(counts.seen),
        "differences": ", ".join(parts) or _("no difference"),
    }
    if counts.not_replayable:
        said += " " + _("%(count)s cannot be replayed.") % {"count": _number(counts.not_replayable)}
    return said


def _number(value: int) -> str:
    return str(number_format(value, force_grouping=True))
