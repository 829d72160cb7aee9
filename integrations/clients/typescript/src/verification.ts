/**
 * Offline verification of one receipt: its proof (c2sp.org/tlog-proof), the tree (RFC 6962) and the signed checkpoint.
 *
 * Whole exports are verified by `threada_verify.py`, which `GET /telemetry/verifier` returns.
 */

import { VerificationFailed } from "./errors.js";

const PROOF_LINE = "c2sp.org/tlog-proof@v1";
const EM_DASH = "\u2014";
const encoder = new TextEncoder();
type Bytes = Uint8Array<ArrayBuffer>;

/** Result of a verification that succeeded. */
export interface VerifiedReceipt {
  log: string;
  index: bigint;
  size: bigint;
}

interface Key {
  name: string;
  id: string;
  key: CryptoKey;
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
  const end = proof.indexOf("\n\n");
  const lines = proof.slice(0, Math.max(end, 0)).split("\n");
  if (end < 0 || lines.shift() !== PROOF_LINE) throw new VerificationFailed(`The proof does not begin with ${PROOF_LINE}.`);
  if (lines[0]?.startsWith("extra ")) lines.shift();
  const index = decimal(lines.shift() ?? "", "index ");
  const path = lines.map(hashOf);
  const checkpoint = await opened(proof.slice(end + 2), await Promise.all(keys.map(keyOf)));
  const root = await rootOf(await sha256(joined(Uint8Array.of(0), body)), index, checkpoint.size, path);
  if (root === null || !isEqual(root, checkpoint.root)) {
    throw new VerificationFailed("The proof does not lead from these bytes to the root of the checkpoint.");
  }
  return { log: checkpoint.origin, index, size: checkpoint.size };
}

/** Open a signed note: one of the keys for its log must have signed, and no signature of a known key may be wrong. */
async function opened(note: string, keys: Key[]): Promise<{ origin: string; size: bigint; root: Bytes }> {
  const end = note.lastIndexOf("\n\n");
  const text = note.slice(0, end + 1);
  const [origin = "", size = "", root = ""] = text.split("\n");
  if (end < 0 || origin === "") throw new VerificationFailed("The checkpoint is no signed note.");
  let isSigned = false;
  for (const line of note.slice(end + 2).split("\n")) {
    const [dash, name, value = ""] = line.split(" ");
    if (dash !== EM_DASH) continue;
    const signature = bytesOf(value);
    const id = hex(signature.subarray(0, 4));
    for (const known of keys) {
      if (known.name !== origin || name !== origin || known.id !== id) continue;
      if (!(await crypto.subtle.verify("Ed25519", known.key, signature.slice(4), encoder.encode(text)))) {
        throw new VerificationFailed("A signature of the checkpoint is wrong.");
      }
      isSigned = true;
    }
  }
  if (!isSigned) throw new VerificationFailed(`None of the keys signed the checkpoint of ${origin}.`);
  return { origin, size: decimal(size, ""), root: hashOf(root) };
}

async function keyOf(text: string): Promise<Key> {
  const [name = "", id = "", material = ""] = text.trim().split(/\+(.*?)\+(.*)/s);
  const bytes = bytesOf(material);
  if (name === "" || bytes.length !== 33 || bytes[0] !== 1) throw new TypeError("A key is name+id+key, and Ed25519.");
  const stated = hex((await sha256(joined(encoder.encode(`${name}\n`), bytes))).subarray(0, 4));
  if (stated !== id) throw new TypeError(`The key says id ${id}, but its name and key make ${stated}.`);
  const key = await crypto.subtle.importKey("raw", bytes.slice(1), "Ed25519", false, ["verify"]);
  return { name, id, key };
}

/** Return the root that an inclusion proof leads to (RFC 9162, section 2.1.3.2), or null if it cannot be one. */
async function rootOf(leaf: Bytes, index: bigint, size: bigint, path: Bytes[]): Promise<Bytes | null> {
  if (index >= size) return null;
  let [first, last, current] = [index, size - 1n, leaf];
  for (const sibling of path) {
    if (last === 0n) return null;
    if (first & 1n || first === last) {
      current = await sha256(joined(Uint8Array.of(1), sibling, current));
      while (!(first & 1n) && first !== 0n) [first, last] = [first >> 1n, last >> 1n];
    } else {
      current = await sha256(joined(Uint8Array.of(1), current, sibling));
    }
    [first, last] = [first >> 1n, last >> 1n];
  }
  return last === 0n ? current : null;
}

function decimal(line: string, head: string): bigint {
  const text = line.startsWith(head) ? line.slice(head.length) : "";
  if (!/^(0|[1-9][0-9]{0,18})$/.test(text)) throw new VerificationFailed(`"${line}" is no number.`);
  return BigInt(text);
}

function hashOf(line: string): Bytes {
  const bytes = bytesOf(line);
  if (bytes.length !== 32) throw new VerificationFailed("A hash does not have 32 bytes.");
  return bytes;
}

function bytesOf(text: string): Bytes {
  let raw: string;
  try {
    raw = atob(text);
  } catch {
    throw new VerificationFailed(`"${text}" is not base64.`);
  }
  if (btoa(raw) !== text) throw new VerificationFailed(`"${text}" is not canonical base64.`);
  return Uint8Array.from(raw, (sign) => sign.charCodeAt(0));
}

async function sha256(bytes: Bytes): Promise<Bytes> {
  return new Uint8Array(await crypto.subtle.digest("SHA-256", bytes));
}

function joined(...parts: Uint8Array[]): Bytes {
  const whole = new Uint8Array(parts.reduce((length, part) => length + part.length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}

const isEqual = (left: Bytes, right: Bytes): boolean => hex(left) === hex(right);
const hex = (bytes: Uint8Array): string => Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
