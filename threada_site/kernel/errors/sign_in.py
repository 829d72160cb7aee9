"""Refusals of sign-in through an identity provider."""

from threada_site.kernel.errors.base import AuthorizationRefusal, ExecutionRefusal, ValidationRefusal


class SignInStateInvalid(ValidationRefusal):
    reason_code = "sign_in_state_invalid"
    status = 400
    title = "This sign-in was not started in this browser, or too long ago"
    advice = "Start the sign-in again."


class SignedInAlready(AuthorizationRefusal):
    reason_code = "signed_in_already"
    status = 409
    title = "Somebody else is signed in in this browser"
    advice = "Sign out first, then start the sign-in again."


class IdentityProviderRefused(AuthorizationRefusal):
    reason_code = "identity_provider_refused"
    status = 403
    title = "The identity provider did not sign you in"
    advice = "Try again, or ask the administrator of the identity provider."


class IdentityProviderUnavailable(ExecutionRefusal):
    reason_code = "identity_provider_unavailable"
    status = 502
    title = "The identity provider cannot be used"
    advice = "Try again later, or ask a tenant administrator to check its document."


class IdentityProviderBusy(ExecutionRefusal):
    reason_code = "identity_provider_busy"
    status = 503
    title = "Other sign-ins at the identity provider are under way"
    advice = "The page tries again in a moment."


class IdentityTokenInvalid(AuthorizationRefusal):
    reason_code = "identity_token_invalid"
    status = 403
    title = "The answer of the identity provider is not valid"
    advice = "Start the sign-in again. If it happens again, report it to a tenant administrator."


class IssuerMismatch(AuthorizationRefusal):
    reason_code = "issuer_mismatch"
    status = 403
    title = "The answer comes from another identity provider"
    advice = "Start the sign-in again, from the page of your tenant."


class IdentitySubjectUnmapped(AuthorizationRefusal):
    reason_code = "identity_subject_unmapped"
    status = 403
    title = "The identity provider does not name you by a lasting id"
    advice = "Ask a tenant administrator to check claims.subject of the identity provider."


class IdentityClaimMissing(AuthorizationRefusal):
    reason_code = "identity_claim_missing"
    status = 403
    title = "Your account at the identity provider lacks a claim that this tenant requires"
    advice = "Use an account of your company, or ask a tenant administrator to check required_claims."


class IdentityNotLinked(AuthorizationRefusal):
    reason_code = "identity_not_linked"
    status = 403
    title = "Your account at the identity provider belongs to no member of this tenant"
    advice = "Ask a tenant administrator."


class IdentityLinkSuspended(AuthorizationRefusal):
    reason_code = "identity_link_suspended"
    status = 403
    title = "Your account at the identity provider is not confirmed yet"
    advice = "Ask a tenant administrator who did not change it to confirm it."


class RoleFromProvider(ValidationRefusal):
    reason_code = "role_from_provider"
    status = 409
    title = "An identity provider gives this role"
    advice = "Change the groups of the person at the identity provider."


class SecondStepExpired(ValidationRefusal):
    reason_code = "second_step_expired"
    status = 400
    title = "This sign-in was not started in this browser, or too long ago"
    advice = "Start the sign-in again."


class SecondFactorFailed(AuthorizationRefusal):
    reason_code = "second_factor_failed"
    status = 403
    title = "The code is not valid"
    advice = "Enter the next code of your authenticator app, or a recovery code that was not used. A code serves once."


class SecondFactorRequired(AuthorizationRefusal):
    reason_code = "second_factor_required"
    status = 403
    title = "Your roles need a second factor"
    advice = "Enrol an authenticator app or a passkey at Second factors in the console."


class LastFactorRequired(ValidationRefusal):
    reason_code = "last_factor_required"
    status = 409
    title = "Your roles need a second factor, and this is the last one"
    advice = "Enrol another factor first."


class IdentityProviderRequired(AuthorizationRefusal):
    reason_code = "identity_provider_required"
    status = 403
    title = "Your tenants let you sign in at their identity provider only"
    advice = "Sign in from the page of your tenant."
