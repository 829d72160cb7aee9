"""`/work-items/{id}/watch`: notifications about one work item."""

from __future__ import annotations

from typing import Any, ClassVar

from rest_framework.response import Response

from threada_site.api.operations import operation
from threada_site.api.shapes import EMPTY
from threada_site.api.views import TenantView
from threada_site.kernel.context import Scope
from workitems.api.items import found_item
from workitems.api.resources.conversation import WATCH
from workitems.conversation.selectors import is_watching
from workitems.conversation.watching import unwatch_item, watch_item


class WatchWorkItem(TenantView):
    scopes: ClassVar = {"GET": Scope.WORKITEMS_READ, "PUT": Scope.WORKITEMS_READ, "DELETE": Scope.WORKITEMS_READ}

    @operation("readWatch", "Tell whether the caller watches a work item", tag="Conversation", answers={200: WATCH})
    def get(self, request: Any, work_item_id: str) -> Response:
        item = found_item(self, request, work_item_id)
        return Response(WATCH.represent(None, work_item_id=item.id, watching=is_watching(item, ctx=request.auth)))

    @operation(
        "watchWorkItem",
        "Watch a work item",
        tag="Conversation",
        body=EMPTY,
        answers={200: WATCH},
        reasons=("person_required",),
    )
    def put(self, request: Any, work_item_id: str) -> Response:
        """Notify the caller of comments, answers and decisions. It ends when the caller may not read the item."""
        EMPTY.check(request.data)
        item = found_item(self, request, work_item_id)
        watch_item(item, ctx=request.auth)
        return Response(WATCH.represent(None, work_item_id=item.id, watching=True))

    @operation("unwatchWorkItem", "End watching a work item", tag="Conversation", answers={204: None})
    def delete(self, request: Any, work_item_id: str) -> Response:
        unwatch_item(found_item(self, request, work_item_id), ctx=request.auth)
        return Response(status=204)
