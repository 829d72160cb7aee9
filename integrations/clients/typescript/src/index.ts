export * from "./client.js";
export * from "./errors.js";
export { type Comparison, type Evidence, type EvidenceOptions, type Finding, verifyEvidence } from "./evidence.js";
export * from "./signatures.js";
export { type VerifiedReceipt, verifyReceipt } from "./verification.js";
export type { components, operations, paths } from "./schema.js";
