export * from "./client.js";
export * from "./errors.js";
export * from "./signatures.js";
export * from "./verification.js";
export type { components, operations, paths } from "./schema.js";
