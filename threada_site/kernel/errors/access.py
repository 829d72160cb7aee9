"""Refusals of who asks."""

from threada_site.kernel.errors.base import ThreadaError


class CredentialMissing(ThreadaError):
    reason_code = "credential_missing"


class CredentialInvalid(ThreadaError):
    reason_code = "credential_invalid"


class CredentialExpired(ThreadaError):
    reason_code = "credential_expired"


class CredentialRevoked(ThreadaError):
    reason_code = "credential_revoked"


class PrincipalInactive(ThreadaError):
    reason_code = "principal_inactive"


class TenantRequired(ThreadaError):
    reason_code = "tenant_required"


class TenantMismatch(ThreadaError):
    reason_code = "tenant_mismatch"


class RoleNotHeld(ThreadaError):
    reason_code = "role_not_held"


class ScopeMissing(ThreadaError):
    reason_code = "scope_missing"


class PermissionDenied(ThreadaError):
    reason_code = "permission_denied"


class ScopeNotGrantable(ThreadaError):
    reason_code = "scope_not_grantable"


class CsrfFailed(ThreadaError):
    reason_code = "csrf_failed"
