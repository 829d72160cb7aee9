"""Addresses of the request portal below /console/."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.urls import URLPattern, path

from threada_site.admin.actions import OWN_UNIT_OF_WORK
from threada_site.database.unit_of_work import unit_of_work
from workitems.portal.files import attachment_file
from workitems.portal.form_page import request_page
from workitems.portal.pages import (
    catalogue_page,
    discard_draft,
    own_request_page,
    requests_page,
    start,
    withdraw,
)


def portal_urls(site: Any) -> list[URLPattern]:
    """Return the addresses. `site` gives pages their common context, and admits members of a tenant only."""

    def framed(view: Callable[..., HttpResponseBase], *, writes: bool = False) -> Callable[..., HttpResponseBase]:
        def page(request: HttpRequest, **named: str) -> HttpResponseBase:
            if writes:
                ctx = request.acting_context  # type: ignore[attr-defined]
                with unit_of_work(ctx.tenant_id, actor=ctx):
                    frame = site.each_context(request)
            else:
                frame = site.each_context(request)
            return view(request, frame=frame, **named)

        return own(page) if writes else admitted(page)

    def admitted(view: Callable[..., HttpResponseBase]) -> Callable[..., HttpResponseBase]:
        found: Callable[..., HttpResponseBase] = site.admin_view(view)
        return found

    def own(view: Callable[..., HttpResponseBase]) -> Callable[..., HttpResponseBase]:
        wrapped = admitted(view)
        wrapped.__dict__[OWN_UNIT_OF_WORK] = True
        return wrapped

    file = framed(attachment_file, writes=True)
    form = framed(request_page, writes=True)
    return [
        path("attachments/<str:key>", file, name="attachment"),
        path("request/", framed(catalogue_page), name="catalogue"),
        path("request/<str:slug>", form, name="request_form"),
        path("request/<str:slug>/", form),
        path("requests/", framed(requests_page), name="own_requests"),
        path("requests/drafts/<str:key>/delete/", own(discard_draft), name="discard_draft"),
        path("requests/<str:key>/", framed(own_request_page), name="own_request"),
        path("requests/<str:key>/withdraw/", own(withdraw), name="withdraw_request"),
        path("requests/<str:key>/start/", own(start), name="start_request"),
    ]
