/** Twenty steps with the TypeScript client. Prints `done` at the end. */

import {
  CredentialRefused,
  EnvelopeChanged,
  InvalidRequest,
  NotFound,
  PolicyDenied,
  RefusedByPolicy,
  SignatureInvalid,
  Threada,
  ThreadaError,
  ValidationFailed,
  VerificationFailed,
  WaitTimedOut,
  signCallback,
  verifyEvidence,
  verifyReceipt,
  verifyWebhook,
} from "@threada/client";

declare const process: { env: Record<string, string> };

const url = process.env["THREADA_URL"] ?? "";
const tokens = JSON.parse(process.env["TOKENS"] ?? "") as Record<string, string>;
const keys = JSON.parse(process.env["KEYS"] ?? "") as string[];
const requester = new Threada({ url, token: process.env["THREADA_TOKEN"] ?? "" });
const first = new Threada({ url, token: tokens["finance-1"] ?? "" });
const second = new Threada({ url, token: tokens["finance-2"] ?? "" });
const body = {
  workflow_id: "payment_run",
  channel_id: "payment_form",
  payload: { vendor: "Hooli", amount_minor: 3_000_000, invoice: crypto.randomUUID() },
};

function check(holds: boolean, step: number): void {
  if (!holds) throw new Error(`step ${step}`);
}

async function refused<T extends ThreadaError>(
  call: () => Promise<unknown>,
  kind: abstract new (...values: never[]) => T,
): Promise<T> {
  try {
    await call();
  } catch (error) {
    if (error instanceof kind) return error;
    throw error;
  }
  throw new Error(`${kind.name} is missing`);
}

// 1. Who am I?
check((await requester.me()).tenant === "demo", 1);
// 2. A wrong token.
const wrong = await refused(() => new Threada({ url, token: "thr_wrong" }).me(), CredentialRefused);
check(wrong.status === 401 && wrong.name === "CredentialRefused", 2);
// 3. A work item.
const idempotencyKey = crypto.randomUUID();
const item = await requester.createWorkItem(body, { idempotencyKey });
check(item.status === "new", 3);
const id = item.work_item_id;
// 4. The same call again gives the same work item.
check((await requester.createWorkItem(body, { idempotencyKey })).work_item_id === id, 4);
// 5. The same key with another body.
const other = { ...body, payload: { vendor: "Hooli", amount_minor: 1 } };
const reused = await refused(() => requester.createWorkItem(other, { idempotencyKey }), ValidationFailed);
check(reused.reasonCode === "idempotency_key_reused", 5);
// 6. A payload that does not fit its schema.
const invalid = await refused(() => requester.createWorkItem({ ...body, payload: {} }), InvalidRequest);
check(invalid.errors[0]?.pointer.startsWith("/payload") === true, 6);
// 7. A work item that does not exist.
await refused(() => requester.workItem(`${id.slice(0, -3)}000`), NotFound);
const dots = await requester.execution("..").catch((error: unknown) => error);
check(dots instanceof TypeError, 7);
// 8. All pages of a list.
await requester.createWorkItem({ workflow_id: "policy_review", payload: { question: "May we?" } });
const listed = new Set<string>();
for await (const entry of requester.workItems({ limit: 1 })) listed.add(entry.work_item_id);
check(listed.has(id) && listed.size > 1, 8);
// 9. The intake decision, by polling; a denial by policy, and the same answer to each further action.
check((await requester.waitForWorkItem(id, { until: ["ready"], timeoutMs: 60_000 })).status === "ready", 9);
const denied = (await requester.createWorkItem({ ...body, payload: { vendor: "Globex", amount_minor: 1 } })).work_item_id;
await requester.waitForWorkItem(denied, { until: ["refused"], timeoutMs: 60_000 });
for (const _ of [1, 2]) {
  const payDenied = { work_item_id: denied, action_id: "pay", integration_id: "int_bank" };
  const { document } = await refused(() => requester.execute(payDenied), PolicyDenied);
  check(document.reasons?.[0]?.reason === "SANCTIONED_VENDOR", 9);
}
// 10. An action that people must approve.
const pay = { work_item_id: id, action_id: "pay", integration_id: "int_bank" };
const accepted = await requester.execute(pay, { waitS: 5 }); // answered at once: people decide
check(accepted.status === "awaiting_approval", 10);
// 11. A wait that ends before the status does.
const late = await refused(() => requester.waitForExecution(accepted.execution_id, { timeoutMs: 300 }), WaitTimedOut);
check((late.resource as { status: string }).status === "awaiting_approval", 11);
// 12. Why does it wait?
check((await requester.explain(id)).waiting_for.length > 0, 12);
// 13. The step, as an approver finds it.
const steps = [];
for await (const entry of first.decisionSteps({ work_item_id: [id] })) steps.push(entry);
const step = await first.decisionStep(steps[0]?.decision_step_id ?? "");
check(step.envelope !== null && steps.length === 1, 13);
// 14. A vote on another envelope.
await refused(() => first.vote({ ...step, envelope_sha256: "0".repeat(64) }, "approve"), EnvelopeChanged);
// 15. A vote, and the same person again.
check((await first.vote(step, "approve", { comment: "Matches." })).step_status === "pending", 15);
check((await refused(() => first.vote(step, "approve"), RefusedByPolicy)).reasonCode === "already_voted", 15);
// 16. The second vote decides, and the action runs.
check((await second.vote(step, "approve")).step_status === "approved", 16);
check((await requester.waitForExecution(accepted.execution_id, { timeoutMs: 60_000 })).status === "succeeded", 16);
check((await requester.waitForWorkItem(id, { timeoutMs: 60_000 })).status === "resolved", 16);
// 17. The receipts, as an export.
const receipts = [];
for await (const event of requester.timeline(id)) receipts.push(event);
const asked = await requester.createExport({ filters: { work_item_id: id } });
check((await requester.waitForExport(asked.export_id, { timeoutMs: 60_000 })).status === "ready", 17);
const lines = (await (await requester.downloadExport(asked.export_id)).text()).trimEnd().split("\n");
check(lines.length === receipts.length, 17);
// 18. Its proofs, and the proof of one receipt, verified offline.
const archive = new Uint8Array(await (await requester.downloadEvidence(asked.export_id)).arrayBuffer());
const evidence = await verifyEvidence(archive, keys);
check(evidence.isVerified && evidence.receipts === lines.length, 18);
const encoder = new TextEncoder();
const line = lines[0] ?? "";
const proof = await requester.receiptProof((JSON.parse(line) as { id: string }).id);
check((await verifyReceipt(encoder.encode(line), proof, keys)).size > 0n, 18);
// 19. A changed receipt, a changed proof, another key.
await refused(() => verifyReceipt(encoder.encode(`${line} `), proof, keys), VerificationFailed);
await refused(() => verifyReceipt(encoder.encode(line), proof.replace("index ", "index 1"), keys), VerificationFailed);
await refused(() => verifyReceipt(encoder.encode(line), proof, []), VerificationFailed);
// 20. Signatures of webhooks and callbacks.
const [secret, before] = [`whsec_${"A".repeat(40)}`, `whsec_${"B".repeat(40)}`];
const sent = encoder.encode('{"status": "succeeded"}');
const headers = await signCallback(sent, secret, { messageId: "msg_1" });
check((await verifyWebhook(sent, headers, [before, secret])) === "msg_1", 20);
await refused(() => verifyWebhook(sent, headers, [before]), SignatureInvalid);
await refused(() => verifyWebhook(encoder.encode("{}"), headers, [secret]), SignatureInvalid);
await refused(() => verifyWebhook(sent, { ...headers, "webhook-timestamp": "1" }, [secret]), SignatureInvalid);
console.log("done");
