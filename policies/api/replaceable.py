"""Documents of the rulebook that PUT replaces and PATCH changes."""

from __future__ import annotations

from typing import Final

from policies.api.resources.policies import OVERLAY, POLICY_VERSION
from policies.api.resources.workflows import CHANNEL, WORKFLOW
from policies.api.shapes import PAYMENT_RUN, PAYMENTS, POLICY_DOCUMENT, WINDOW, WORKFLOW_SPEC
from policies.documents.workflow import MAX_NAME
from threada_site.api.conditional_requests.replacing import Replaceable

MAYBE_NAME: Final = {"type": ["string", "null"], "maxLength": MAX_NAME, "description": "Name for people."}
REPLACE_WORKFLOW: Final = Replaceable(
    resource=WORKFLOW,
    identifier="workflow_id",
    writable={"name": MAYBE_NAME, "spec": WORKFLOW_SPEC},
    required=("spec",),
    patched={"spec": {"type": "object", "description": "Merged into the spec: null removes a member."}},
    example={"name": "Payment run", "spec": PAYMENT_RUN},
    patch_example={"spec": {"description": "Payments to vendors.", "title": None}},
)
REPLACE_CHANNEL: Final = Replaceable(
    resource=CHANNEL,
    identifier="channel_id",
    writable={"name": MAYBE_NAME},
    patched={},
    example={"name": "Web form"},
    patch_example={"name": "Web form"},
)
REPLACE_DRAFT: Final = Replaceable(
    resource=POLICY_VERSION,
    identifier="policy_version_id",
    writable=POLICY_DOCUMENT,
    patched={"document": {"type": "object", "description": "Merged into the document: null removes a member."}},
    example={"document": PAYMENTS},
    patch_example={"document": {"description": "Payments to vendors.", "tests": None}},
)
REPLACE_OVERLAY: Final = Replaceable(
    resource=OVERLAY,
    identifier="overlay_id",
    writable=WINDOW,
    patched={},
    example={"starts_at": "2026-12-24T00:00:00+01:00", "ends_at": "2027-01-02T00:00:00+01:00"},
    patch_example={"ends_at": "2027-01-02T00:00:00+01:00"},
)
