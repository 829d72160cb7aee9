"""Who asks may not do this."""

from __future__ import annotations

from typing import Final

from threada_site.kernel.reasons.reason import Category, reasons_of

AUTHORIZATION: Final = reasons_of(
    Category.AUTHORIZATION,
    [
        # Configuration
        (
            "second_person_required",
            403,
            "A second person has to do this",
            "Ask somebody else who may do it, and who had no part in it so far.",
        ),
        ("person_required", 403, "Only a person may do this", "Services and agents do not count as people."),
        # Who may
        ("credential_missing", 401, "No credential was sent", "Send Authorization: Bearer thr_…"),
        ("credential_invalid", 401, "The credential is not valid", "Issue a new one."),
        ("credential_expired", 401, "The credential has expired", "Issue a new one."),
        ("credential_revoked", 401, "The credential was revoked", "Issue a new one."),
        ("principal_inactive", 403, "The principal is switched off", "Ask a tenant administrator."),
        ("tenant_required", 403, "The tenant must be named", "Send Threada-Tenant: <slug>."),
        (
            "tenant_mismatch",
            403,
            "The credential does not belong to this tenant",
            "Send the tenant the credential was issued in.",
        ),
        ("role_not_held", 403, "The role is not held", "Leave Threada-Role out or name a role you hold."),
        (
            "scope_missing",
            403,
            "The credential lacks a scope",
            "Use a credential that holds the scope named in detail.",
        ),
        ("permission_denied", 403, "You may not do this here", "Ask a tenant administrator for the right role."),
        (
            "scope_not_grantable",
            422,
            "The roles do not hold the scopes asked for",
            "Ask for fewer scopes or add a role.",
        ),
        ("csrf_failed", 403, "The form has expired", "Reload the page and try again."),
        # What policy and people say
        (
            "step_up_required",
            403,
            "This vote needs the password again",
            "Vote in the console and enter the password there: a token cannot re-authenticate.",
        ),
        ("step_up_failed", 403, "The password is not right", "Enter your password again; nothing was decided."),
    ],
)
