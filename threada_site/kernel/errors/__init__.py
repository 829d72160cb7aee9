"""Every way the product says no, as classes. Raise the narrowest; say in `detail` what to do next.

Category, status and title of a code stand in `kernel.reasons`.
"""

from threada_site.kernel.errors.access import (
    CredentialExpired,
    CredentialInvalid,
    CredentialMissing,
    CredentialRevoked,
    CsrfFailed,
    PermissionDenied,
    PrincipalInactive,
    RoleNotHeld,
    ScopeMissing,
    ScopeNotGrantable,
    TenantMismatch,
    TenantRequired,
)
from threada_site.kernel.errors.base import FieldError, ThreadaError
from threada_site.kernel.errors.configuration import (
    DocumentInvalid,
    PolicyDocumentInvalid,
    PolicyTestsFailed,
    SecretReferenceNotAllowed,
    UnknownAction,
    UnknownIntegration,
    VersionNotDraft,
)
from threada_site.kernel.errors.decisions import (
    AlreadyVoted,
    ApprovalPending,
    BatchMixed,
    BatchTooLarge,
    CommentTooLong,
    EnvelopeChanged,
    PolicyDenied,
    ReasonCodeRequired,
    ReviewPending,
    StepClaimed,
    StepClosed,
    StepUpFailed,
    StepUpRequired,
    UnknownReasonCode,
    VoterExcluded,
    VoterNotEligible,
)
from threada_site.kernel.errors.executions import (
    ActionNotAllowed,
    AuditUnavailable,
    ExecutionInProgress,
    ExecutionNotCancellable,
    ExecutionNotReconcilable,
    ExecutionNotRetryable,
    ExpressionFailed,
    InstanceNotReady,
    InstanceStarting,
    InternalError,
    ServiceUnavailable,
)
from threada_site.kernel.errors.exports import ExportGone, ExportNotReady, ExportTargetUnavailable
from threada_site.kernel.errors.requests import (
    BadRequest,
    ChannelRequired,
    Conflict,
    IdempotencyInFlight,
    IdempotencyKeyReused,
    InvalidCursor,
    InvalidRequest,
    JsonNotInteroperable,
    MalformedJson,
    MethodNotAllowed,
    NotAcceptable,
    NotFound,
    PayloadSchemaViolation,
    PayloadTooLarge,
    PreconditionFailed,
    PreconditionRequired,
    RangeNotSatisfiable,
    ReceiptNotSealed,
    TransitionNotAllowed,
    UnknownChannel,
    UnknownRequester,
    UnknownWorkflow,
    UnsupportedMediaType,
    WindowTooLarge,
)
