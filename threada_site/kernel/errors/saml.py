"""Refusals of answers of SAML identity providers."""

from threada_site.kernel.errors.base import AuthorizationRefusal, ExecutionRefusal, ValidationRefusal

_AGAIN = "Start the sign-in again. If it happens again, report it to a tenant administrator."
_PROVIDER = "Ask the administrator of the identity provider to change it."


class SamlMetadataInvalid(ExecutionRefusal):
    reason_code = "saml_metadata_invalid"
    status = 502
    title = "The metadata of the identity provider cannot be used"
    advice = "Ask a tenant administrator to check `metadata` of the identity provider."


class SamlMetadataExpired(ExecutionRefusal):
    reason_code = "saml_metadata_expired"
    status = 502
    title = "The metadata of the identity provider is not valid any more"
    advice = "Ask a tenant administrator to put its current metadata."


class SamlUnsolicited(AuthorizationRefusal):
    reason_code = "saml_unsolicited"
    status = 403
    title = "A sign-in that starts at the identity provider is not accepted"
    advice = "Start the sign-in from the page of your tenant."


class SamlResponseMalformed(ValidationRefusal):
    reason_code = "saml_response_malformed"
    status = 400
    title = "The answer of the identity provider is no SAML response"
    advice = _AGAIN


class SamlMarkupRefused(AuthorizationRefusal):
    reason_code = "saml_markup_refused"
    status = 403
    title = "The SAML response contains a document type, an entity, a comment or a processing instruction"
    advice = _AGAIN


class SamlAssertionEncrypted(AuthorizationRefusal):
    reason_code = "saml_assertion_encrypted"
    status = 403
    title = "The SAML assertion is encrypted"
    advice = "Ask the administrator of the identity provider to send assertions that are signed and not encrypted."


class SamlAssertionUnsigned(AuthorizationRefusal):
    reason_code = "saml_assertion_unsigned"
    status = 403
    title = "The SAML assertion has no signature of its own"
    advice = "Ask the administrator of the identity provider to sign assertions, not only responses."


class SamlAlgorithmRefused(AuthorizationRefusal):
    reason_code = "saml_algorithm_refused"
    status = 403
    title = "The SAML signature uses an algorithm that is not accepted"
    advice = "Ask the administrator of the identity provider to sign with RSA or ECDSA and SHA-256 or better."


class SamlSignatureInvalid(AuthorizationRefusal):
    reason_code = "saml_signature_invalid"
    status = 403
    title = "The SAML signature is not valid"
    advice = "Ask a tenant administrator to compare the keys in `metadata` with those of the identity provider."


class SamlWrappingRefused(AuthorizationRefusal):
    reason_code = "saml_wrapping_refused"
    status = 403
    title = "The SAML response contains more than one assertion, or a signature of something else"
    advice = _AGAIN


class SamlDestinationMismatch(AuthorizationRefusal):
    reason_code = "saml_destination_mismatch"
    status = 403
    title = "The SAML response is for another address"
    advice = _PROVIDER


class SamlAudienceMismatch(AuthorizationRefusal):
    reason_code = "saml_audience_mismatch"
    status = 403
    title = "The SAML assertion is for another service"
    advice = _PROVIDER


class SamlRequestMismatch(AuthorizationRefusal):
    reason_code = "saml_request_mismatch"
    status = 403
    title = "The SAML response answers another request"
    advice = _AGAIN


class SamlAssertionExpired(AuthorizationRefusal):
    reason_code = "saml_assertion_expired"
    status = 403
    title = "The SAML assertion has expired"
    advice = "Start the sign-in again. If it happens again, compare the clocks of both sides."


class SamlAssertionNotYetValid(AuthorizationRefusal):
    reason_code = "saml_assertion_not_yet_valid"
    status = 403
    title = "The SAML assertion is not valid yet"
    advice = "Start the sign-in again. If it happens again, compare the clocks of both sides."


class SamlAssertionReplayed(AuthorizationRefusal):
    reason_code = "saml_assertion_replayed"
    status = 403
    title = "The SAML assertion was used before"
    advice = _AGAIN


class SamlSubjectTransient(AuthorizationRefusal):
    reason_code = "saml_subject_transient"
    status = 403
    title = "The identity provider names you by an id that changes with every sign-in"
    advice = "Ask the administrator of the identity provider for a persistent NameID, or map claims.subject."


class SamlAuthenticationInsufficient(AuthorizationRefusal):
    reason_code = "saml_authentication_insufficient"
    status = 403
    title = "The identity provider did not authenticate you as its document here asks for"
    advice = "Start the sign-in again, and authenticate as the identity provider asks you to."
