"""Refusals that concern the caller: credential, tenant, role, scope."""

from threada_site.kernel.errors.base import AuthorizationRefusal, ValidationRefusal


class CredentialMissing(AuthorizationRefusal):
    reason_code = "credential_missing"
    status = 401
    title = "No credential was sent"
    advice = "Send Authorization: Bearer thr_…"


class CredentialInvalid(AuthorizationRefusal):
    reason_code = "credential_invalid"
    status = 401
    title = "The credential is not valid"
    advice = "Create a new credential."


class CredentialExpired(AuthorizationRefusal):
    reason_code = "credential_expired"
    status = 401
    title = "The credential has expired"
    advice = "Create a new credential."


class CredentialRevoked(AuthorizationRefusal):
    reason_code = "credential_revoked"
    status = 401
    title = "The credential was revoked"
    advice = "Create a new credential."


class WorkloadTokenMalformed(AuthorizationRefusal):
    reason_code = "workload_token_malformed"
    status = 401
    title = "The token is not a complete JWT"
    advice = "Send a signed JWT with kid, iss, sub, aud, iat and exp."


class WorkloadAlgorithmRefused(AuthorizationRefusal):
    reason_code = "workload_algorithm_refused"
    status = 401
    title = "The token has no asymmetric signature"
    advice = "Sign the token with RS, PS, ES or EdDSA; never with none or HMAC."


class WorkloadTokenExpired(AuthorizationRefusal):
    reason_code = "workload_token_expired"
    status = 401
    title = "The token has expired"
    advice = "Request a new token from its issuer."


class WorkloadTokenNotYetValid(AuthorizationRefusal):
    reason_code = "workload_token_not_yet_valid"
    status = 401
    title = "The token is not valid yet"
    advice = "Compare the clocks of the issuer and of this instance."


class WorkloadTokenUntrusted(AuthorizationRefusal):
    reason_code = "workload_token_untrusted"
    status = 401
    title = "No trusted issuer has signed this token for this audience"
    advice = (
        "Compare issuer, audience, algorithm and key id with the trusted issuer. The log of the instance names the "
        "cause under the correlation id."
    )


class WorkloadNotMapped(AuthorizationRefusal):
    reason_code = "workload_not_mapped"
    status = 401
    title = "The claims of the token do not name one account"
    advice = "Correct the mappings of the trusted issuer: exactly one must apply, to a service or an agent."


class WorkloadIsPerson(AuthorizationRefusal):
    reason_code = "workload_is_person"
    status = 401
    title = "A token of a trusted issuer never acts as a person"
    advice = "Map the token to a service or an agent."


class TokenRequestInvalid(ValidationRefusal):
    reason_code = "token_request_invalid"
    status = 400
    title = "The token request is not valid"
    advice = "Send each parameter of RFC 8693 once, as application/x-www-form-urlencoded."


class TokenClientRefused(AuthorizationRefusal):
    reason_code = "token_client_refused"
    status = 401
    title = "The token endpoint knows no clients"
    advice = "Send no client credentials: the subject token says who asks."


class TokenGrantUnsupported(ValidationRefusal):
    reason_code = "token_grant_unsupported"
    status = 400
    title = "The grant type is not supported"
    advice = "Send grant_type urn:ietf:params:oauth:grant-type:token-exchange."


class TokenScopeInvalid(AuthorizationRefusal):
    reason_code = "token_scope_invalid"
    status = 400
    title = "The token cannot have the requested scopes"
    advice = "Request scopes of the mapping that the roles of the account hold."


class TokenTargetInvalid(AuthorizationRefusal):
    reason_code = "token_target_invalid"
    status = 400
    title = "The token cannot be for this resource or audience"
    advice = "Name the public URL of the instance or the audience of the tenant, or neither."


class PrincipalInactive(AuthorizationRefusal):
    reason_code = "principal_inactive"
    status = 403
    title = "The account is inactive"
    advice = "Ask a tenant administrator to activate it."


class PrincipalFrozen(AuthorizationRefusal):
    reason_code = "principal_frozen"
    status = 403
    title = "The account is frozen"
    advice = "Stop, and ask the owner of the account. A person lifts the freeze."


class TenantMismatch(AuthorizationRefusal):
    reason_code = "tenant_mismatch"
    status = 403
    title = "The credential does not belong to this tenant"
    advice = "Send the tenant of the credential."


class RoleNotHeld(AuthorizationRefusal):
    reason_code = "role_not_held"
    status = 403
    title = "The role is not held"
    advice = "Omit Threada-Role or name a role that you hold."


class ScopeMissing(AuthorizationRefusal):
    reason_code = "scope_missing"
    status = 403
    title = "The credential does not have the required scope"
    advice = "Use a credential with the scope named in detail."


class PermissionDenied(AuthorizationRefusal):
    reason_code = "permission_denied"
    status = 403
    title = "You do not have permission for this"
    advice = "Ask a tenant administrator for the right role."


class ScopeNotGrantable(AuthorizationRefusal):
    reason_code = "scope_not_grantable"
    status = 422
    title = "The roles do not grant the requested scopes"
    advice = "Request fewer scopes or add a role."


class CsrfFailed(AuthorizationRefusal):
    reason_code = "csrf_failed"
    status = 403
    title = "The form has expired"
    advice = "Reload the page and try again."
