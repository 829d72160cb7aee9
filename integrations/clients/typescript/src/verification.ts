/**
 * Offline verification of one receipt: its proof (c2sp.org/tlog-proof), the tree (RFC 6962) and the signed checkpoint.
 */

import { type Bytes, decimal, hashOf, isEqual, joined, sha256 } from "./bytes.js";
import { type Checkpoint, keyOf, opened } from "./checkpoints.js";
import { VerificationFailed } from "./errors.js";

const PROOF_LINE = "c2sp.org/tlog-proof@v1";

/** Result of a verification that succeeded. */
export interface VerifiedReceipt {
  log: string;
  index: bigint;
  size: bigint;
}

/**
 * Verify that exactly these bytes are at their place in the log whose checkpoint one of `keys` signed.
 *
 * Get the keys (`name+id+key`) from the people responsible for the instance, not from the API. Throw
 * `VerificationFailed`. No connection is opened. `body`: a line of an export, without its newline.
 */
export async function verifyReceipt(
  body: Uint8Array,
  proof: string,
  keys: readonly string[],
): Promise<VerifiedReceipt> {
  const { index, path, note } = proofIn(proof);
  const checkpoint = await opened(note, await Promise.all(keys.map(keyOf)));
  if (!(await isIncluded(body, index, path, checkpoint))) {
    throw new VerificationFailed("The proof does not lead from these bytes to the root of the checkpoint.");
  }
  return { log: checkpoint.origin, index, size: checkpoint.size };
}

/** Return the index, the hashes and the checkpoint of a proof. */
export function proofIn(proof: string): { index: bigint; path: Bytes[]; note: string } {
  const end = proof.indexOf("\n\n");
  const lines = proof.slice(0, Math.max(end, 0)).split("\n");
  if (end < 0 || lines.shift() !== PROOF_LINE) throw new VerificationFailed(`The proof does not begin with ${PROOF_LINE}.`);
  if (lines[0]?.startsWith("extra ")) lines.shift();
  const index = decimal(lines.shift() ?? "", "index ");
  return { index, path: lines.map(hashOf), note: proof.slice(end + 2) };
}

/** Return true if these bytes are leaf `index` of the log of the checkpoint. */
export async function isIncluded(body: Uint8Array, index: bigint, path: Bytes[], checkpoint: Checkpoint): Promise<boolean> {
  const root = await rootOf(await leafHash(body), index, checkpoint.size, path);
  return root !== null && isEqual(root, checkpoint.root);
}

export const leafHash = (body: Uint8Array): Promise<Bytes> => sha256(joined(Uint8Array.of(0), body));
export const nodeHash = (left: Bytes, right: Bytes): Promise<Bytes> => sha256(joined(Uint8Array.of(1), left, right));

/** Return the root that an inclusion proof leads to (RFC 9162, section 2.1.3.2), or null if it cannot be one. */
export async function rootOf(leaf: Bytes, index: bigint, size: bigint, path: Bytes[]): Promise<Bytes | null> {
  if (index >= size) return null;
  let [first, last, current] = [index, size - 1n, leaf];
  for (const sibling of path) {
    if (last === 0n) return null;
    if (first & 1n || first === last) {
      current = await nodeHash(sibling, current);
      while (!(first & 1n) && first !== 0n) [first, last] = [first >> 1n, last >> 1n];
    } else {
      current = await nodeHash(current, sibling);
    }
    [first, last] = [first >> 1n, last >> 1n];
  }
  return last === 0n ? current : null;
}
