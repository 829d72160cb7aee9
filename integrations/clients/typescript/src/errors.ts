/** Errors of the client, by category and reason code of the server's answer. */

/** A problem document (RFC 9457). */
export interface Problem {
  reason_code: string;
  category: string;
  title: string;
  detail: string;
  correlation_id: string;
  errors?: { pointer: string; detail: string; code: string }[];
  /** Reasons of the tenant's own policies. */
  reasons?: { reason: string; policy?: string; rule?: string; message?: string }[];
}

/** Any failure of a call. */
export class ThreadaError extends Error {
  constructor(message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = new.target.name;
  }
}

/** No answer arrived. The same call with the same idempotency key is safe. */
export class ConnectionFailed extends ThreadaError {}

/** An answer that is not the API's, for example a page of a proxy. */
export class UnexpectedAnswer extends ThreadaError {}

/** A webhook is not signed by any of the secrets, or too old. */
export class SignatureInvalid extends ThreadaError {}

/** A receipt, its proof or the checkpoint does not hold. */
export class VerificationFailed extends ThreadaError {}

/** A wait ended before the status did; `resource` is the last answer. */
export class WaitTimedOut extends ThreadaError {
  constructor(message: string, readonly resource: unknown) {
    super(message);
  }
}

/** A refusal by the server. */
export class Refused extends ThreadaError {
  readonly reasonCode: string;
  readonly category: string;
  readonly correlationId: string;
  readonly errors: { pointer: string; detail: string; code: string }[];

  constructor(readonly document: Problem, readonly status: number) {
    super(`${document.reason_code} (${status}): ${document.detail}`);
    this.reasonCode = document.reason_code;
    this.category = document.category;
    this.correlationId = document.correlation_id;
    this.errors = document.errors ?? [];
  }
}

/** The request is wrong, or does not fit the state of its resource. */
export class ValidationFailed extends Refused {}
/** The credential, its scopes or the person do not permit the request. */
export class NotAuthorized extends Refused {}
/** A rule denies it, or people must decide first. */
export class RefusedByPolicy extends Refused {}
/** The server cannot do it now. */
export class ExecutionFailed extends Refused {}

export class NotFound extends ValidationFailed {}
export class InvalidRequest extends ValidationFailed {}
/** The resource has changed: read it again and send its ETag. */
export class Changed extends ValidationFailed {}
export class CredentialRefused extends NotAuthorized {}
export class PolicyDenied extends RefusedByPolicy {}
/** Read the step again before voting. */
export class EnvelopeChanged extends RefusedByPolicy {}
export class RateLimited extends ExecutionFailed {}

type RefusedClass = new (document: Problem, status: number) => Refused;

const BY_REASON = new Map<string, RefusedClass>([
  ["not_found", NotFound],
  ["invalid_request", InvalidRequest],
  ["payload_schema_violation", InvalidRequest],
  ["precondition_failed", Changed],
  ["precondition_required", Changed],
  ["credential_missing", CredentialRefused],
  ["credential_invalid", CredentialRefused],
  ["credential_expired", CredentialRefused],
  ["credential_revoked", CredentialRefused],
  ["policy_denied", PolicyDenied],
  ["envelope_changed", EnvelopeChanged],
  ["rate_limited", RateLimited],
]);
const BY_CATEGORY = new Map<string, RefusedClass>([
  ["validation", ValidationFailed],
  ["authorization", NotAuthorized],
  ["policy", RefusedByPolicy],
  ["execution", ExecutionFailed],
]);

/** Return the error for a problem document, by its reason code or else its category. */
export function refusal(body: unknown, status: number): ThreadaError {
  if (typeof body !== "object" || body === null || !("reason_code" in body)) {
    return new UnexpectedAnswer(`The answer (${status}) is no problem document.`);
  }
  const document = body as Problem;
  const kind = BY_REASON.get(document.reason_code) ?? BY_CATEGORY.get(document.category) ?? Refused;
  return new kind(document, status);
}
