/** Client of Threada on `fetch`, for Node 20 and browsers. */

import createClient, { type Client } from "openapi-fetch";

import { refusal, UnexpectedAnswer, WaitTimedOut } from "./errors.js";
import { isSealed } from "./evidence.js";
import { pause, withRetries, type Fetch } from "./retries.js";
import type { components, operations, paths } from "./schema.js";

type Schemas = components["schemas"];
export type WorkItem = Schemas["WorkItem"];
export type WorkItemWithEvidence = Schemas["WorkItemWithEvidence"];
export type Execution = Schemas["ExecutionWithAttempts"];
export type DecisionStep = Schemas["DecisionStep"];
export type ActionAccepted = Schemas["ActionAccepted"];
export type Explanation = Schemas["Explanation"];
export type VoteAnswer = Schemas["VoteAnswer"];
export type TelemetryExport = Schemas["TelemetryExport"];
export type Receipt = Schemas["Event"];
export type Me = Schemas["Me"];
export type Filters<Name extends keyof operations> = Omit<
  NonNullable<operations[Name]["parameters"]["query"]>,
  "cursor"
>;

export interface Options {
  /** Address of the instance. */
  url: string;
  token: string;
  /** Use only this role of the principal. */
  role?: string;
  /** Permit a token over plain HTTP to another machine. */
  insecure?: boolean;
  fetch?: Fetch;
}

export interface Keyed {
  /** Key under which a repeated call returns the first answer. Default: a new one. */
  idempotencyKey?: string;
}

export interface Patience {
  /** Most milliseconds of a wait. Default: five minutes. */
  timeoutMs?: number;
}

const HELD_S = 25;
const SEALING_MS = 60_000;
const PAUSES_MS = [200, 500, 1000, 2000];
const OPEN = new Set(["awaiting_approval", "started", "running", "pending", "requested"]);
const ENDED_WORK_ITEMS = ["refused", "rejected", "expired", "resolved", "cancelled"];
const NOT_SEALED = new Set(["receipt_not_sealed", "checkpoint_not_sealed"]);

interface Answer<T> {
  data?: T;
  error?: unknown;
  response: Response;
}

interface Page<T> {
  data: T[];
  next_cursor: string | null;
  has_more: boolean;
}

export class Threada {
  /** Every operation of the API, typed, with the retries of this client. */
  readonly api: Client<paths>;

  constructor(options: Options) {
    const url = new URL(options.url);
    const isOwnMachine = ["localhost", "127.0.0.1", "[::1]"].includes(url.hostname);
    if (url.protocol !== "https:" && !(url.protocol === "http:" && (isOwnMachine || options.insecure))) {
      throw new TypeError(`${options.url} would send the token without encryption. Use https, or insecure: true.`);
    }
    this.api = createClient<paths>({
      baseUrl: options.url.replace(/\/$/, ""),
      fetch: withRetries(options.fetch ?? ((request) => globalThis.fetch(request))),
      credentials: "omit",
      redirect: "error",
      headers: {
        Authorization: `Bearer ${options.token}`,
        ...(options.role === undefined ? {} : { "Threada-Role": options.role }),
      },
    });
    this.api.use({
      // An address without its last part would name another resource.
      onRequest({ params }) {
        if (Object.values(params.path ?? {}).some((id) => ["", ".", ".."].includes(String(id)))) {
          throw new TypeError("An id is empty or consists of dots.");
        }
      },
    });
  }

  /** Return the principal, roles and scopes of the token. */
  async me(): Promise<Me> {
    return result(await this.api.GET("/me"));
  }

  /** Create a work item. A repeated call with the same idempotency key returns the first one. */
  async createWorkItem(body: Schemas["CreateWorkItemRequest"], options: Keyed = {}): Promise<WorkItem> {
    return result(await this.api.POST("/work-items", { params: keyed(options), body }));
  }

  /** Return a work item with its evidence. */
  async workItem(id: string): Promise<WorkItemWithEvidence> {
    return result(await this.api.GET("/work-items/{work_item_id}", { params: { path: { work_item_id: id } } }));
  }

  /** Iterate over work items, newest first. */
  workItems(filters: Filters<"listWorkItems"> = {}): AsyncGenerator<WorkItem, void> {
    return entries((cursor) => this.api.GET("/work-items", { params: { query: { ...filters, ...cursor } } }));
  }

  /** Return the reason for the state of a work item, and what it waits for. */
  async explain(id: string): Promise<Explanation> {
    return result(
      await this.api.GET("/work-items/{work_item_id}/explain", { params: { path: { work_item_id: id } } }),
    );
  }

  /** Iterate over the receipts of a work item. */
  timeline(id: string): AsyncGenerator<Receipt, void> {
    return entries((query) =>
      this.api.GET("/work-items/{work_item_id}/timeline", { params: { path: { work_item_id: id }, query } }),
    );
  }

  /**
   * Ask for an action. It starts at once, or when people have approved it.
   *
   * `waitS`: seconds, at most 25, for which the server waits for the end of an action that needs no approval. The
   * answer then has its `status` and `result`.
   */
  async execute(
    body: Schemas["ExecuteActionRequest"],
    options: Keyed & { waitS?: number } = {},
  ): Promise<ActionAccepted> {
    const { waitS = 0 } = options;
    const headers: Record<string, string> = waitS > 0 ? { Prefer: `wait=${Math.min(waitS, HELD_S)}` } : {};
    return result(await this.api.POST("/actions/execute", { params: keyed(options), body, headers }));
  }

  /** Return an execution with its attempts. */
  async execution(id: string): Promise<Execution> {
    return result(await this.api.GET("/executions/{execution_id}", { params: { path: { execution_id: id } } }));
  }

  /** Return a decision step with the envelope that approvers decide on. */
  async decisionStep(id: string): Promise<DecisionStep> {
    return result(
      await this.api.GET("/decision-steps/{decision_step_id}", { params: { path: { decision_step_id: id } } }),
    );
  }

  /** Iterate over decision steps. */
  decisionSteps(filters: Filters<"listDecisionSteps"> = {}): AsyncGenerator<DecisionStep, void> {
    return entries((cursor) => this.api.GET("/decision-steps", { params: { query: { ...filters, ...cursor } } }));
  }

  /** Vote as the person of the token, on the envelope in `step`. */
  async vote(
    step: Pick<DecisionStep, "decision_step_id" | "envelope_sha256">,
    decision: "approve" | "reject",
    options: Keyed & { reasonCode?: string; comment?: string } = {},
  ): Promise<VoteAnswer> {
    const body = {
      decision,
      envelope_sha256: step.envelope_sha256,
      ...(options.reasonCode === undefined ? {} : { reason_code: options.reasonCode }),
      ...(options.comment === undefined ? {} : { comment: options.comment }),
    };
    const params = { path: { decision_step_id: step.decision_step_id }, ...keyed(options) };
    return result(await this.api.POST("/decision-steps/{decision_step_id}/votes", { params, body }));
  }

  /** Wait until the status of a work item is one of `until`. Default: until it has ended. */
  async waitForWorkItem(
    id: string,
    options: Patience & { until?: readonly string[] } = {},
  ): Promise<WorkItemWithEvidence> {
    const until = options.until ?? ENDED_WORK_ITEMS;
    return wait(
      (headers) => this.api.GET("/work-items/{work_item_id}", { params: { path: { work_item_id: id } }, headers }),
      (status) => until.includes(status),
      options,
    );
  }

  /** Wait until an execution has ended. */
  async waitForExecution(id: string, options: Patience = {}): Promise<Execution> {
    return wait(
      (headers) => this.api.GET("/executions/{execution_id}", { params: { path: { execution_id: id } }, headers }),
      (status) => !OPEN.has(status),
      options,
    );
  }

  /** Wait until a decision step is closed. */
  async waitForDecisionStep(id: string, options: Patience = {}): Promise<DecisionStep> {
    const params = { path: { decision_step_id: id } };
    return wait(
      (headers) => this.api.GET("/decision-steps/{decision_step_id}", { params, headers }),
      (status) => !OPEN.has(status),
      options,
    );
  }

  /** Ask for a file of receipts. */
  async createExport(body: Schemas["CreateExportRequest"] = {}, options: Keyed = {}): Promise<TelemetryExport> {
    return result(await this.api.POST("/telemetry/exports", { params: keyed(options), body }));
  }

  /** Wait until the file of an export is ready, failed or gone. */
  async waitForExport(id: string, options: Patience = {}): Promise<TelemetryExport> {
    return wait(
      (headers) => this.api.GET("/telemetry/exports/{export_id}", { params: { path: { export_id: id } }, headers }),
      (status) => !OPEN.has(status),
      options,
    );
  }

  /** Return the file of an export. */
  async downloadExport(id: string): Promise<Blob> {
    return file(
      await this.api.GET("/telemetry/exports/{export_id}/download", {
        params: { path: { export_id: id } },
        parseAs: "blob",
      }),
    );
  }

  /**
   * Return the file of an export with the proofs of its receipts, for `verifyEvidence`.
   *
   * Receipts are sealed about a second after they are written: the call is repeated until all are, for a minute at most.
   * After that, the evidence names those that are not.
   */
  async downloadEvidence(id: string, options: Patience = {}): Promise<Blob> {
    const params = { path: { export_id: id } };
    const deadline = Date.now() + (options.timeoutMs ?? SEALING_MS);
    for (;;) {
      const evidence = await whenSealed(
        async () =>
          file(await this.api.GET("/telemetry/exports/{export_id}/evidence", { params, parseAs: "blob" })),
        options,
      );
      if (Date.now() > deadline || isSealed(new Uint8Array(await evidence.arrayBuffer()))) return evidence;
      await pause(1000);
    }
  }

  /** Return the inclusion proof of a receipt, for `verifyReceipt`. Waits until the receipt is sealed. */
  async receiptProof(id: string, options: Patience = {}): Promise<string> {
    const params = { path: { receipt_id: id } };
    return whenSealed(
      async () => result(await this.api.GET("/receipts/{receipt_id}/proof", { params, parseAs: "text" })) as string,
      options,
    );
  }
}

function keyed(options: Keyed): { header: { "Idempotency-Key": string } } {
  return { header: { "Idempotency-Key": options.idempotencyKey ?? crypto.randomUUID() } };
}

/** Return the resource of an answer, or throw the error of its problem document. */
function result<T>(answer: Answer<T>): T {
  if (!answer.response.ok) throw refusal(answer.error, answer.response.status);
  if (answer.data === undefined) throw new UnexpectedAnswer(`The answer (${answer.response.status}) is empty.`);
  return answer.data;
}

function file(answer: Answer<unknown>): Blob {
  return result(answer) as Blob;
}

async function* entries<T>(
  read: (query: { cursor?: string }) => Promise<Answer<Page<T>>>,
): AsyncGenerator<T, void> {
  let query: { cursor?: string } = {};
  for (;;) {
    const page = result(await read(query));
    yield* page.data;
    if (!page.has_more || page.next_cursor === null) return;
    query = { cursor: page.next_cursor };
  }
}

/** Read a resource until its status has ended. The server holds the answer if it can. */
async function wait<T extends { status: string }>(
  read: (headers: Record<string, string>) => Promise<Answer<T>>,
  hasEnded: (status: string) => boolean,
  options: Patience,
): Promise<T> {
  const deadline = Date.now() + (options.timeoutMs ?? 300_000);
  let known: Record<string, string> = {};
  let resource: T | undefined;
  for (let polls = 0; ; polls += 1) {
    const held = Math.floor(Math.min(HELD_S, (deadline - Date.now()) / 1000));
    const answer = await read(polls > 0 && held > 0 ? { Prefer: `wait=${held}`, ...known } : {});
    resource = answer.response.status === 304 && resource !== undefined ? resource : result(answer);
    const etag = answer.response.headers.get("ETag");
    // The server holds the answer only if the resource is still the one that was read.
    known = etag === null ? {} : { "If-None-Match": etag };
    if (hasEnded(resource.status)) return resource;
    const left = deadline - Date.now();
    if (left <= 0) throw new WaitTimedOut(`It is still ${resource.status}.`, resource);
    if (!answer.response.headers.has("Preference-Applied")) {
      await pause(Math.min(left, PAUSES_MS[Math.min(polls, PAUSES_MS.length - 1)] ?? 2000));
    }
  }
}

/** Repeat until receipts are sealed, about a second after they are written. */
async function whenSealed<T>(read: () => Promise<T>, options: Patience): Promise<T> {
  const deadline = Date.now() + (options.timeoutMs ?? SEALING_MS);
  for (;;) {
    try {
      return await read();
    } catch (error) {
      const reason = error instanceof Error && "reasonCode" in error ? String(error.reasonCode) : "";
      if (!NOT_SEALED.has(reason) || Date.now() > deadline) throw error;
      await pause(1000);
    }
  }
}
