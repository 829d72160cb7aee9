"""Refusals of passkeys."""

from threada_site.kernel.errors.base import AuthorizationRefusal, ValidationRefusal


class PasskeysUnavailable(ValidationRefusal):
    reason_code = "passkeys_unavailable"
    status = 409
    title = "Passkeys cannot be used at this address"
    advice = "Open the console at its public address, with HTTPS and a host name. On your own machine, use localhost."


class PasskeyChallengeInvalid(ValidationRefusal):
    reason_code = "passkey_challenge_invalid"
    status = 400
    title = "This use of a passkey was not started here, or it was used already"
    advice = "Start again."


class PasskeyChallengeExpired(ValidationRefusal):
    reason_code = "passkey_challenge_expired"
    status = 400
    title = "The use of the passkey took longer than five minutes"
    advice = "Start again."


class PasskeyInvalid(ValidationRefusal):
    reason_code = "passkey_invalid"
    status = 400
    title = "The answer of the passkey is not valid"
    advice = "Try again. If it happens again, use another passkey or another way to sign in."


class PasskeyOriginRefused(AuthorizationRefusal):
    reason_code = "passkey_origin_refused"
    status = 403
    title = "The passkey was used on another site"
    advice = "Open the console at its own address. If a link brought you to the other site, report it."


class PasskeyUserNotVerified(AuthorizationRefusal):
    reason_code = "passkey_user_not_verified"
    status = 403
    title = "The passkey did not check that it is you"
    advice = "Unlock the passkey with its PIN, fingerprint or face, or sign in with a password."


class PasskeyUnknown(AuthorizationRefusal):
    reason_code = "passkey_unknown"
    status = 403
    title = "This passkey is not known here"
    advice = "Use another passkey or another way to sign in. A removed passkey can be registered again."


class PasskeyCloned(AuthorizationRefusal):
    reason_code = "passkey_cloned"
    status = 403
    title = "The passkey may have been copied"
    advice = "Sign in another way, remove this passkey and register a new one."


class PasskeyRegistered(ValidationRefusal):
    reason_code = "passkey_registered"
    status = 409
    title = "This passkey is registered already"
    advice = "Use it, or register another one."
