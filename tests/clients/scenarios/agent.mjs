// An agent with the TypeScript SDK (older handshake): submit a payment and request it, or `look_up` with a governed
// tool. Prints JSON.
import { Client } from "@modelcontextprotocol/sdk/client/index.js";
import { StreamableHTTPClientTransport } from "@modelcontextprotocol/sdk/client/streamableHttp.js";

const headers = { Authorization: `Bearer ${process.env.MCP_TOKEN}` };
const client = new Client({ name: "agent", version: "1" });
await client.connect(new StreamableHTTPClientTransport(new URL(process.env.MCP_URL), { requestInit: { headers } }));
if (process.argv[2] === "look_up") {
  const found = await client.callTool({ name: "look_up", arguments: { text: "typescript" } });
  console.log(JSON.stringify(found.structuredContent));
  process.exit(0);
}
const { tools } = await client.listTools();
if (tools.length !== 9) throw new Error(`${tools.length} tools`);
const payload = { vendor: "Hooli", amount_minor: 2000000, invoice: "AGENT-1" };
const submission = { workflow_id: "payment_run", channel_id: "payment_form", payload, evidence: ["order 7"] };
const item = await client.callTool({ name: "submit_work_item", arguments: submission });
const { work_item_id } = item.structuredContent;
const call = { work_item_id, action_id: "pay", integration_id: "int_bank" };
const execution = await client.callTool({ name: "execute_action", arguments: call });
if (execution.isError) throw new Error(JSON.stringify(execution));
console.log(JSON.stringify(execution.structuredContent));
await client.close();
