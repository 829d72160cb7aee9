"""Refusals as SCIM errors (RFC 7644, section 3.12), and errors of the SCIM library as typed refusals."""

from __future__ import annotations

from typing import Any, Final

from scim2_models import SCIMException

from threada_site.kernel import errors
from threada_site.kernel.errors import ThreadaError

_SCHEMA: Final = "urn:ietf:params:scim:api:messages:2.0:Error"
_BY_STATUS: Final[dict[int, type[ThreadaError]]] = {
    403: errors.PermissionDenied,
    404: errors.NotFound,
    405: errors.MethodNotAllowed,
    409: errors.Conflict,
    412: errors.PreconditionFailed,
    413: errors.PayloadTooLarge,
    415: errors.UnsupportedMediaType,
    501: errors.ProvisioningNotSupported,
}
_BAD: Final = {400, 422, 428}
_SYNTAX: Final = (errors.MalformedJson, errors.JsonNotInteroperable)


def refusal_of(error: SCIMException) -> ThreadaError:
    """Return the typed refusal of an error of the library."""
    kind = _BY_STATUS.get(error.status, errors.ProvisioningInvalid)
    return kind(error.detail or "", scim_type=error.scim_type)


def error_body(refusal: ThreadaError) -> tuple[int, dict[str, Any]]:
    """Return status and body of the answer. `detail` ends with the reason code."""
    status = 400 if refusal.status in _BAD else refusal.status
    scim_type = refusal.extensions.get("scim_type") or _scim_type(refusal)
    body = {
        "schemas": [_SCHEMA],
        "status": str(status),
        **({"scimType": scim_type} if scim_type else {}),
        "detail": f"{refusal.detail} ({refusal.reason_code})",
    }
    return status, body


def _scim_type(refusal: ThreadaError) -> str:
    if isinstance(refusal, _SYNTAX):
        return "invalidSyntax"
    return "invalidValue" if refusal.status in _BAD else ""
