"""`/configuration`: plan documents, and apply exactly that plan, for continuous integration."""

from __future__ import annotations

from typing import Any, Final

from rest_framework.response import Response

from policies.api.one_at_a_time import EVALUATOR_REFUSALS, one_at_a_time
from threada_site.api.permissions import require
from threada_site.api.shapes import shape
from threada_site.api.viewsets import TenantViewSet, verb
from threada_site.kernel.context import Scope
from threada_site.kernel.documents.reader import Document, load_documents
from threada_site.kernel.errors import DocumentInvalid, FieldError
from workitems.api.resources.configuration import CONFIGURATION_APPLIED, CONFIGURATION_PLAN
from workitems.configuration.plans import apply_plan, plan_documents

MOST_FILES: Final = 1000
MOST_DOCUMENTS: Final = 2000
_DOCUMENTS: Final[dict[str, Any]] = {
    "files": {
        "type": "array",
        "minItems": 1,
        "maxItems": MOST_FILES,
        "description": "Files with documents as YAML or JSON.",
        "items": {
            "type": "object",
            "properties": {
                "path": {
                    "type": "string",
                    "minLength": 1,
                    "maxLength": 500,
                    "description": "Path of the file, for messages.",
                },
                "text": {"type": "string", "description": "Text of the file."},
            },
            "required": ["path", "text"],
            "additionalProperties": False,
        },
    },
    "prune": {"type": "boolean", "default": False, "description": "Also remove what no document describes."},
    "strict": {"type": "boolean", "default": False, "description": "Refuse documents with warnings."},
}
_FILES: Final = [{"path": "channels/web_main.yaml", "text": "kind: Channel\nid: web_main\n"}]
PLAN_CONFIGURATION: Final = shape(_DOCUMENTS, required=("files",), example={"files": _FILES})
APPLY_CONFIGURATION: Final = shape(
    {
        **_DOCUMENTS,
        "digest": {"type": "string", "pattern": "^[0-9a-f]{64}$", "description": "Digest of the plan to apply."},
        "revision": {
            "type": "string",
            "maxLength": 100,
            "default": "",
            "description": "Revision of the files, such as a git commit; stored with new versions.",
        },
    },
    required=("files", "digest"),
    example={"files": _FILES, "digest": "0" * 64, "revision": "4f1c2d3"},
)
_REFUSALS: Final = (
    "document_invalid",
    "policy_document_invalid",
    "policy_tests_failed",
    "person_required",
    "step_up_required",
    *EVALUATOR_REFUSALS,
)


class ConfigurationViewSet(TenantViewSet):
    tag = "Configuration"

    @one_at_a_time
    @verb(
        "planConfiguration",
        "Show what configuration documents would change",
        detail=False,
        scope=Scope.CONFIGURATION_WRITE,
        body=PLAN_CONFIGURATION,
        answers={200: CONFIGURATION_PLAN},
        reasons=_REFUSALS,
    )
    def plan(self, request: Any, body: dict[str, Any]) -> Response:
        """Check the documents as if they were applied together, and change nothing.

        Each kind needs the scopes that it needs elsewhere: `workflow:manage` (channels, calendars, workflows, packs),
        `policies:publish` (lists, overlays), also `policies:write` (policies), `integrations:manage` (integrations),
        every scope (all other kinds).

        Changed documents of kind `IdentityProvider` and `TrustedIssuer` are refused (`person_required` to services,
        `step_up_required` to people): people write them in the console, and the operator by `manage.py apply`.
        """
        require(request.auth, Scope.CONFIGURATION_WRITE)
        plan = plan_documents(
            _documents(body), ctx=request.auth, prune=body.get("prune", False), is_strict=body.get("strict", False)
        )
        return Response(CONFIGURATION_PLAN.represent(plan))

    @one_at_a_time
    @verb(
        "applyConfiguration",
        "Apply planned configuration documents",
        detail=False,
        scope=Scope.CONFIGURATION_WRITE,
        body=APPLY_CONFIGURATION,
        answers={200: CONFIGURATION_APPLIED},
        may_need_confirmation=True,
        reasons=("plan_stale", *_REFUSALS),
    )
    def apply(self, request: Any, body: dict[str, Any]) -> Response:
        """Put all documents in force, or none, if the result is the plan with `digest`.

        If documents, options or the configuration in force changed since, the answer is `plan_stale`. Under a four-eyes
        rule that covers one of the changes, all of them become one change set. So they do if a service changes roles,
        groups or grants.
        """
        require(request.auth, Scope.CONFIGURATION_WRITE)
        outcome = apply_plan(
            _documents(body),
            body["digest"],
            ctx=request.auth,
            prune=body.get("prune", False),
            revision=body.get("revision", ""),
            is_strict=body.get("strict", False),
        )
        return Response(CONFIGURATION_APPLIED.represent(outcome))


def _documents(body: dict[str, Any]) -> list[Document]:
    """Return the documents of all files, ordered by path. Raises `DocumentInvalid`."""
    found: list[Document] = []
    for file in sorted(body["files"], key=lambda file: str(file["path"])):
        found += load_documents(file["text"], source=file["path"])
    if not found:
        raise DocumentInvalid(errors=[FieldError("/files", "contain no document", "required")])
    if len(found) > MOST_DOCUMENTS:
        said = f"contain {len(found)} documents; send at most {MOST_DOCUMENTS}"
        raise DocumentInvalid(errors=[FieldError("/files", said, "too_large")])
    return found
