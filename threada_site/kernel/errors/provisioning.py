"""Refusals of provisioning (SCIM), and of changes to what a provisioning client maintains."""

from threada_site.kernel.errors.base import AuthorizationRefusal, ExecutionRefusal, ValidationRefusal


class ProvisioningInvalid(ValidationRefusal):
    reason_code = "provisioning_invalid"
    status = 400
    title = "The SCIM request is not valid"
    advice = "See scimType and detail of the answer."


class ProvisionedPasswordRefused(ValidationRefusal):
    reason_code = "provisioned_password_refused"
    status = 400
    title = "Passwords are not provisioned"
    advice = "Turn off the synchronization of passwords at the provisioning client."


class ProvisioningNotSupported(ExecutionRefusal):
    reason_code = "provisioning_not_supported"
    status = 501
    title = "This part of SCIM is not supported"
    advice = "See /ServiceProviderConfig."


class CredentialUnconfirmed(AuthorizationRefusal):
    reason_code = "credential_unconfirmed"
    status = 401
    title = "A second steward has not confirmed the credential"
    advice = "Ask another tenant administrator to publish the change set that confirms it."


class GroupFromProvisioning(ValidationRefusal):
    reason_code = "group_from_provisioning"
    status = 409
    title = "A provisioning client maintains this group"
    advice = "Change the group at the provisioning client."


class IdentityNotProvisioned(AuthorizationRefusal):
    reason_code = "identity_not_provisioned"
    status = 403
    title = "The identity provider names nobody whom a provisioning client added"
    advice = "Ask the administrator of the identity provider to assign you to Threada."


class IdentityAmbiguous(AuthorizationRefusal):
    reason_code = "identity_ambiguous"
    status = 403
    title = "Your account at the identity provider names two people of this tenant"
    advice = "Ask a tenant administrator to compare the link with the provisioned person."
