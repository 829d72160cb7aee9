"""`/packs`: bundles of documents that are installed, upgraded and removed as one."""

from __future__ import annotations

from typing import Any

import orjson
from django.db.models import QuerySet
from rest_framework.response import Response

from policies import selectors
from policies.locks import lock_pack
from policies.models import Pack
from threada_site.api.conditional_requests.replacing import Replaceable
from threada_site.api.conditional_requests.tags import check_created, check_follows, check_if_match, etag
from threada_site.api.filters import CreatedWindow
from threada_site.api.operations import operation
from threada_site.api.shapes import shape
from threada_site.api.views import path_slug
from threada_site.api.viewsets import TenantViewSet, creation, listing
from threada_site.kernel import errors
from threada_site.kernel.context import Scope
from threada_site.kernel.documents.reader import Document, load_documents
from threada_site.kernel.errors import FieldError
from workitems.api.resources.packs import PACK, PACK_INSTALLED, PACK_VERSION
from workitems.configuration.packs import install_pack, remove_pack

_SPEC = {"version": "1.0.0", "documents": [{"kind": "Channel", "id": "finance_portal"}]}
REPLACE_PACK = Replaceable(
    resource=PACK,
    identifier="pack_id",
    writable={"spec": {"type": "object", "description": "As in a document of `kind: Pack`."}},
    required=("spec",),
    patched={},
    example={"spec": _SPEC},
    patch_example={},
)
INSTALL_PACK = shape(
    {
        "document": {"type": "object", "description": "`kind: Pack` as JSON."},
        "source": {"type": "string", "minLength": 1, "description": "The document as YAML or JSON text."},
        "revision": {"type": "string", "maxLength": 100, "description": "Revision of the source files."},
    },
    example={
        "document": {
            "kind": "Pack",
            "id": "payments",
            "spec": _SPEC,
        }
    },
)


class PackViewSet(TenantViewSet):
    lookup_url_kwarg = "pack_id"
    resource = PACK
    tag = "Packs"

    def get_queryset(self) -> QuerySet[Pack]:
        return selectors.packs(self.request.auth)

    @listing("listPacks", "List installed packs", PACK, scope=Scope.WORKITEMS_READ, filters=CreatedWindow)
    def list(self, request: Any) -> Response:
        return self.page()

    @creation(
        "installPack",
        "Install a version of a pack",
        scope=Scope.WORKFLOW_MANAGE,
        body=INSTALL_PACK,
        answers={200: PACK_INSTALLED, 201: PACK_INSTALLED},
        may_need_confirmation=True,
        reasons=("document_invalid",),
        headers=("Location",),
    )
    def create(self, request: Any, body: dict[str, Any]) -> Response:
        """Install all documents of a pack, or none.

        Documents of the previous version that this version does not contain are removed unless something uses them.
        Documents that were changed since are set back to the text of the pack.
        """
        document = _sent(body)
        done = install_pack(document, ctx=request.auth, revision=body.get("revision", ""))
        pack = selectors.pack_by_slug(document.value["id"], ctx=request.auth)
        assert pack is not None and pack.current_version is not None  # noqa: S101, PT018 - it was just installed
        changes = {
            change: [f"{entry.kind} {entry.name}" for entry in done.applied if entry.change == change]
            for change in ("created", "changed")
        }
        changes["removed"] = [f"{entry.kind} {entry.name}" for entry in done.removed]
        answer = PACK_INSTALLED.represent(pack.current_version, **changes)
        is_new = f"Pack {pack.slug}" in changes["created"]
        return Response(answer, status=201 if is_new else 200, headers={"Location": f"/packs/{pack.slug}"})

    @operation("readPack", "Read a pack", scope=Scope.WORKITEMS_READ, answers={200: PACK}, headers=("ETag",))
    def retrieve(self, request: Any, pack_id: str) -> Response:
        return _answer(_found(request, pack_id))

    @operation(
        "replacePack",
        "Install or upgrade a pack",
        scope=Scope.WORKFLOW_MANAGE,
        body=REPLACE_PACK.body,
        answers={200: PACK, 201: PACK},
        may_need_confirmation=True,
        needs_if_match=True,
        may_create=True,
        reasons=("document_invalid",),
        headers=("ETag", "Location"),
    )
    def update(self, request: Any, pack_id: str) -> Response:
        """Take what `GET` returns. All documents of the pack are installed, or none, as by `POST /packs`."""
        slug = path_slug(pack_id)
        pack = selectors.pack_by_slug(slug, ctx=request.auth)
        if pack is None:
            sent = REPLACE_PACK.created(request, slug)
        else:
            sent = REPLACE_PACK.replaced(request, PACK.represent_whole(pack), tag=_tag(pack))
        document = _sent({"document": {"kind": "Pack", "id": slug, "spec": sent["spec"]}})
        done = install_pack(document, ctx=request.auth)
        installed = _found(request, slug)
        if pack is None:
            check_created(
                is_new=any(entry["kind"] == "Pack" and entry["change"] == "created" for entry in done.changes)
            )
        else:
            check_follows(_number(pack), _number(installed))
        return _answer(installed, status=201 if pack is None else 200)

    @operation(
        "removePack",
        "Remove a pack and its documents",
        scope=Scope.WORKFLOW_MANAGE,
        description="If something still uses a document of the pack, `errors` names it and nothing is removed.",
        answers={204: None},
        takes_if_match=True,
        may_need_confirmation=True,
        reasons=("in_use",),
    )
    def destroy(self, request: Any, pack_id: str) -> Response:
        lock_pack(path_slug(pack_id), ctx=request.auth)
        pack = _found(request, pack_id)
        check_if_match(request, _tag(pack), required=False)
        remove_pack(pack.slug, ctx=request.auth)
        return Response(status=204)


class PackVersionViewSet(TenantViewSet):
    resource = PACK_VERSION
    tag = "Packs"

    @listing(
        "listPackVersions",
        "List installed versions of a pack",
        PACK_VERSION,
        scope=Scope.WORKITEMS_READ,
        filters=CreatedWindow,
    )
    def list(self, request: Any, pack_id: str) -> Response:
        return self.page(self.filter_queryset(_found(request, pack_id).versions.select_related("pack").defer("spec")))


def _found(request: Any, pack_id: str) -> Pack:
    pack = selectors.pack_by_slug(path_slug(pack_id), ctx=request.auth)
    if pack is None:
        raise errors.NotFound
    return pack


def _tag(pack: Pack) -> str:
    assert pack.current_version is not None  # noqa: S101 - removed packs are not found
    return etag(pack.current_version.public_id)


def _number(pack: Pack) -> int:
    assert pack.current_version is not None  # noqa: S101 - removed packs are not found
    return pack.current_version.number


def _answer(pack: Pack, *, status: int = 200) -> Response:
    location = {"Location": f"/packs/{pack.slug}"} if status == 201 else {}
    return Response(PACK.represent_whole(pack), status=status, headers={"ETag": _tag(pack), **location})


def _sent(body: dict[str, Any]) -> Document:
    if ("document" in body) == ("source" in body):
        missing = FieldError("/document", "is required, unless source is sent", "required")
        raise errors.InvalidRequest("Send the pack either as document or as source.", errors=[missing])
    text = body["source"] if "source" in body else orjson.dumps(body["document"]).decode()
    documents = load_documents(text, source="source" if "source" in body else "document")
    if len(documents) != 1:
        one = FieldError("/source", "must hold one document", "invalid")
        raise errors.DocumentInvalid("Send one pack at a time.", errors=[one])
    return documents[0]
