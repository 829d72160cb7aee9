"""Headers of downloads: a file is saved and never shown, whatever it contains."""

from __future__ import annotations

import base64

from django.utils.http import content_disposition_header

from workitems.models import Attachment

SANDBOX = "sandbox; default-src 'none'; frame-ancestors 'none'"


def download_headers(attachment: Attachment) -> dict[str, str]:
    """Return the headers of the file: no page shows it, runs it, or embeds it."""
    digest = base64.b64encode(bytes.fromhex(attachment.sha256)).decode()
    return {
        "Content-Type": "application/octet-stream",
        "Content-Length": str(attachment.size),
        "Content-Disposition": content_disposition_header(True, str(attachment.name)) or "attachment",
        "Content-Security-Policy": SANDBOX,
        "X-Content-Type-Options": "nosniff",
        "Cross-Origin-Resource-Policy": "same-origin",
        "Cache-Control": "private, no-store",
        "ETag": f'"{attachment.sha256}"',
        "Repr-Digest": f"sha-256=:{digest}:",
    }
