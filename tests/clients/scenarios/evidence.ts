/** Verify the archives of a folder: `cases.json` names each with its options. Print what was found. */

import { verifyEvidence } from "@threada/client";

declare const process: { argv: string[] };

interface Case {
  keys: string[];
  against?: string;
  complete?: boolean;
  signed?: boolean;
}

const files = "node:fs"; // without the types of Node
const { readFileSync } = (await import(files)) as { readFileSync(path: string): Uint8Array };
const folder = process.argv[2] ?? "";
const cases = JSON.parse(new TextDecoder().decode(readFileSync(`${folder}/cases.json`))) as Record<string, Case>;
const results: Record<string, unknown> = {};
for (const [name, { keys, ...options }] of Object.entries(cases)) {
  const found = await verifyEvidence(readFileSync(`${folder}/${name}.zip`), keys, options);
  results[name] = {
    verified: found.isVerified,
    receipts: found.receipts,
    written_by: found.writtenBy,
    span: [found.firstSequence, found.lastSequence],
    against: found.against.map(({ size, outcome }) => [size, outcome.split(":")[0]]),
    findings: found.findings.map(({ code, sequence, receipt, line }) => [code, sequence, receipt, line]),
  };
}
console.log(JSON.stringify(results));
