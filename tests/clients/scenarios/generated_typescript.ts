/** A short scenario with the client that @hey-api/openapi-ts generated. Prints `done` at the end. */

import { client } from "./hey/client.gen.js";
import { createWorkItem, executeAction, explainWorkItem, listWorkItems, readWorkItem } from "./hey/sdk.gen.js";

declare const process: { env: Record<string, string> };

function check(holds: boolean, what: string): void {
  if (!holds) throw new Error(what);
}

client.setConfig({ baseUrl: process.env["THREADA_URL"] ?? "", auth: () => process.env["THREADA_TOKEN"] ?? "" });
const made = await createWorkItem({
  body: { workflow_id: "policy_review", channel_id: "web_main", payload: { question: "May we?" } },
  headers: { "Idempotency-Key": "generated-typescript" },
});
const id = made.data?.work_item_id ?? "";
check(made.response?.status === 201 && id.startsWith("wi_"), "create");
const accepted = await executeAction({
  body: { work_item_id: id, action_id: "request_approval", integration_id: "int_workflow" },
});
check(accepted.data?.execution_id !== undefined, "execute");
const path = { work_item_id: id };
check((await readWorkItem({ path })).data?.created_at === made.data?.created_at, "read");
check((await explainWorkItem({ path })).data !== undefined, "explain");
check((await listWorkItems({ query: { limit: 1 } })).data?.data.length === 1, "list");
const missing = await readWorkItem({ path: { work_item_id: `${id.slice(0, -3)}000` } });
check(missing.error?.reason_code === "not_found", "missing");
console.log("done");
