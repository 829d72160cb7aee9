"""Console pages of the signed checkpoints: those of the tenant's log, and the tenant's entry in the instance log.

Every member with `telemetry:read` sees what `GET /checkpoints/instance` returns: the checkpoints of the instance log
and the entry of their own tenant. Entries of other tenants are not queried; row-level security hides them as well.
"""

from __future__ import annotations

import base64
from importlib import import_module
from types import ModuleType
from typing import Any, Final

from django.conf import settings
from django.contrib import admin
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import URLPattern, path
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_safe

from telemetry import selectors
from telemetry.models import Checkpoint, InstanceCheckpoint
from telemetry.tlog import proof_text
from threada_site.admin import html
from threada_site.admin.lists import Column, created_window
from threada_site.admin.model_admin import TenantAdmin
from threada_site.api.filters import CreatedWindow
from threada_site.kernel import ids
from threada_site.kernel.context import ActingContext, Scope

_NAME: Final = "telemetry_checkpoint"


@admin.register(Checkpoint)
class CheckpointAdmin(TenantAdmin):
    scope = Scope.TELEMETRY_READ
    id_prefix = ids.CHECKPOINT
    key = "-id"
    columns = (
        Column(gettext_lazy("Checkpoint"), lambda checkpoint: html.code(checkpoint.public_id)),
        Column(gettext_lazy("Receipts"), lambda checkpoint: f"{checkpoint.size:,}"),
        Column(gettext_lazy("Signed"), lambda checkpoint: html.when(checkpoint.signed_at)),
        Column(gettext_lazy("Root"), lambda checkpoint: html.code(root_of(checkpoint)), is_wide=True),
    )
    filters = created_window()
    filterset = CreatedWindow
    about = gettext_lazy(
        "Signed checkpoints of this tenant's log. A saved one proves later whether an earlier receipt was changed."
    )
    nothing_yet = gettext_lazy("Nothing is sealed yet. The sealer signs about a second after the first receipt.")
    page_template = "telemetry/checkpoint.html"

    def rows(self, ctx: ActingContext) -> QuerySet[Any]:
        return selectors.checkpoints(ctx)

    def page(self, row: Checkpoint, *, ctx: ActingContext) -> dict[str, Any]:
        shown = {"root": root_of(row), "has_instance_log": settings.THREADA_INSTANCE_LOG}
        return shown | (_instance_log().entry_of(row) if settings.THREADA_INSTANCE_LOG else {})

    def get_urls(self) -> list[URLPattern]:
        pages = [
            path("instance/", self._wrap(require_safe(self.instance_view)), name=f"{_NAME}_instance"),
            path(
                "instance/head/",
                self._wrap(require_safe(self.instance_checkpoint)),
                name=f"{_NAME}_instance_checkpoint",
            ),
            path("instance/proof/", self._wrap(require_safe(self.instance_proof)), name=f"{_NAME}_instance_proof"),
        ]
        return [*pages, *super().get_urls()]

    def instance_view(self, request: HttpRequest) -> HttpResponse:
        """Render the page of the instance log, whose leaves are the checkpoints of all tenants."""
        ctx = self._require_view(request)
        frame = {**self.admin_site.each_context(request), "title": _("Instance log")}
        shown = _instance_log().instance_page(ctx) if settings.THREADA_INSTANCE_LOG else {"is_off": True}
        return TemplateResponse(request, "telemetry/instance_log.html", {**frame, **shown})

    def instance_checkpoint(self, request: HttpRequest) -> HttpResponse:
        """Return the newest checkpoint of the instance log as a download."""
        self._require_view(request)
        return _text(*_instance_log().newest_checkpoint())

    def instance_proof(self, request: HttpRequest) -> HttpResponse:
        """Return the proof that the tenant's newest checkpoint is in the instance log."""
        return _text(*_instance_log().newest_proof(self._require_view(request)))


def _instance_log() -> ModuleType:
    """Return the module of the instance log's pages, loaded on first use. Raise `Http404` if no such log is kept."""
    if not settings.THREADA_INSTANCE_LOG:
        raise Http404("No instance log is kept.")
    return import_module("telemetry.admin.instance_log")


def root_of(checkpoint: Checkpoint | InstanceCheckpoint) -> str:
    """Return the root hash in base64, as in the signed note."""
    return base64.b64encode(bytes(checkpoint.root)).decode()


def _text(text: str, name: str) -> HttpResponse:
    headers = {"Content-Disposition": f'attachment; filename="{name}"'}
    return HttpResponse(text, content_type=proof_text.MEDIA_TYPE, headers=headers)
