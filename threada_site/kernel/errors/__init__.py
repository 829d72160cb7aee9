"""Refusals as classes, each with its reason code, HTTP status, title and advice.

Raise the narrowest; `detail` says what to do next.

`REASONS` is the registry of all reason codes, derived from these classes and from `outcomes`; `docs/reason-codes.md`
is written from it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from threada_site.kernel.errors.access import (
    CredentialExpired,
    CredentialInvalid,
    CredentialMissing,
    CredentialRevoked,
    CsrfFailed,
    PermissionDenied,
    PrincipalFrozen,
    PrincipalInactive,
    RoleNotHeld,
    ScopeMissing,
    ScopeNotGrantable,
    TenantMismatch,
    TokenClientRefused,
    TokenGrantUnsupported,
    TokenRequestInvalid,
    TokenScopeInvalid,
    TokenTargetInvalid,
    WorkloadAlgorithmRefused,
    WorkloadIsPerson,
    WorkloadNotMapped,
    WorkloadTokenExpired,
    WorkloadTokenMalformed,
    WorkloadTokenNotYetValid,
    WorkloadTokenUntrusted,
)
from threada_site.kernel.errors.base import FieldError, ThreadaError
from threada_site.kernel.errors.configuration import (
    ChangeSetClosed,
    ChangeSetStale,
    ConfirmationRequired,
    DocumentInvalid,
    EmergencyNotAvailable,
    EmergencyOver,
    EmergencyPending,
    EvaluatorBusy,
    EvaluatorFailed,
    InUse,
    PersonRequired,
    PlanStale,
    PolicyDocumentInvalid,
    PolicyTestsFailed,
    ReplayReportRequired,
    RulesTooExpensive,
    SecondPersonRequired,
    SecretOriginRefused,
    SecretReferenceNotAllowed,
    ToolNotAccepted,
    UnknownAction,
    UnknownIntegration,
    VersionNotDraft,
)
from threada_site.kernel.errors.decisions import (
    AlreadyEscalated,
    AlreadyVoted,
    ApprovalPending,
    AssigneeNotEligible,
    BatchMixed,
    BatchTooLarge,
    CommentRemoved,
    CommentTooLong,
    ConversationLimit,
    DelegateNotEligible,
    DelegationEnded,
    DelegationOverlaps,
    EnvelopeChanged,
    GrantTooLate,
    InvitationNotAccepted,
    NobodyToEscalateTo,
    PermitChanged,
    PermitClosed,
    PermitNotOffered,
    PermitTooWide,
    PolicyDenied,
    QuestionClosed,
    ReasonCodeRequired,
    ReviewPending,
    StageNotOpen,
    StepClaimed,
    StepClosed,
    StepUpFailed,
    StepUpRequired,
    UnknownReasonCode,
    VoteAuthenticationRequired,
    VoterExcluded,
    VoterNotEligible,
    VoterNotIndependent,
)
from threada_site.kernel.errors.executions import (
    ActionNotAllowed,
    AuditUnavailable,
    CallbackContradicted,
    ConnectorDisabled,
    DeliveryBusy,
    ExecutionInProgress,
    ExecutionNotCancellable,
    ExecutionNotReconcilable,
    ExecutionNotRetryable,
    ExecutionNotUndoable,
    ExpressionFailed,
    FreezeLifted,
    InstanceNotReady,
    InstanceStarting,
    InstanceStopping,
    InternalError,
    QuotaExceeded,
    RateLimited,
    ResetDelayed,
    SearchTooSlow,
    ServerBusy,
    ServiceUnavailable,
    SignInBusy,
    SignInDelayed,
    TooManyConnections,
    TooManyTests,
)
from threada_site.kernel.errors.exports import (
    AttachmentErased,
    AttachmentUnavailable,
    ExportGone,
    ExportNotReady,
    ExportNotVerifiable,
    ExportTargetUnavailable,
    OptionalPackageMissing,
)
from threada_site.kernel.errors.outcomes import OUTCOME_REASONS
from threada_site.kernel.errors.passkeys import (
    PasskeyChallengeExpired,
    PasskeyChallengeInvalid,
    PasskeyCloned,
    PasskeyInvalid,
    PasskeyOriginRefused,
    PasskeyRegistered,
    PasskeysUnavailable,
    PasskeyUnknown,
    PasskeyUserNotVerified,
)
from threada_site.kernel.errors.provisioning import (
    CredentialUnconfirmed,
    GroupFromProvisioning,
    IdentityAmbiguous,
    IdentityNotProvisioned,
    ProvisionedPasswordRefused,
    ProvisioningInvalid,
    ProvisioningNotSupported,
)
from threada_site.kernel.errors.reason import Category, Reason
from threada_site.kernel.errors.requests import (
    AttachmentNotUsable,
    AttachmentTooLarge,
    AttachmentTypeRefused,
    BadRequest,
    ChannelRequired,
    CheckpointNotSealed,
    Conflict,
    ExternalRefTaken,
    IdempotencyInFlight,
    IdempotencyKeyReused,
    InvalidCursor,
    InvalidRequest,
    JsonNotInteroperable,
    LastSteward,
    LogDoesNotHold,
    MalformedJson,
    MethodNotAllowed,
    NotAcceptable,
    NotFound,
    PayloadSchemaViolation,
    PayloadTooLarge,
    PreconditionFailed,
    PreconditionRequired,
    RangeNotSatisfiable,
    ReceiptDoesNotHold,
    ReceiptNotSealed,
    RequestTimeout,
    TransitionNotAllowed,
    UnknownChannel,
    UnknownGroup,
    UnknownPack,
    UnknownRequester,
    UnknownWorkflow,
    UnsupportedMediaType,
    WindowTooLarge,
)
from threada_site.kernel.errors.retention import (
    ArchiveUnavailable,
    ContentsRemoved,
    ReceiptMismatch,
    RetentionNotShown,
    UnderLegalHold,
)
from threada_site.kernel.errors.saml import (
    SamlAlgorithmRefused,
    SamlAssertionEncrypted,
    SamlAssertionExpired,
    SamlAssertionNotYetValid,
    SamlAssertionReplayed,
    SamlAssertionUnsigned,
    SamlAudienceMismatch,
    SamlAuthenticationInsufficient,
    SamlDestinationMismatch,
    SamlMarkupRefused,
    SamlMetadataExpired,
    SamlMetadataInvalid,
    SamlRequestMismatch,
    SamlResponseMalformed,
    SamlSignatureInvalid,
    SamlSubjectTransient,
    SamlUnsolicited,
    SamlWrappingRefused,
)
from threada_site.kernel.errors.sign_in import (
    IdentityClaimMissing,
    IdentityLinkSuspended,
    IdentityNotLinked,
    IdentityProviderBusy,
    IdentityProviderRefused,
    IdentityProviderRequired,
    IdentityProviderUnavailable,
    IdentitySubjectUnmapped,
    IdentityTokenInvalid,
    IssuerMismatch,
    LastFactorRequired,
    RoleFromProvider,
    SecondFactorFailed,
    SecondFactorRequired,
    SecondStepExpired,
    SignedInAlready,
    SignInStateInvalid,
)


def _error_classes(root: type[ThreadaError]) -> Iterator[type[ThreadaError]]:
    """Yield `root` and its subclasses that declare a reason code of their own, depth first."""
    if "reason_code" in vars(root):
        yield root
    for child in root.__subclasses__():
        yield from _error_classes(child)


REASONS: Final[dict[str, Reason]] = {
    reason.code: reason for reason in (*(cls.reason() for cls in _error_classes(ThreadaError)), *OUTCOME_REASONS)
}
