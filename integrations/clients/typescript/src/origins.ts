/**
 * Signatures of receipts by the role of the process that wrote them: web, worker or command.
 *
 * A signature is `<role>+<key id> <position>/<size> <signature> <hash>…`. The hashes lead from the receipt, leaf `position`
 * of a tree of `size` receipts that were written together, to its root (RFC 6962). The key of the role signs the lines
 * `threada receipts/1`, tenant, `<role>+<key id>`, size and root.
 */

import { type Bytes, bytesOf, decimal, decoded, hashOf, hex } from "./bytes.js";
import { instanceOf, instant, isSigned, type Key, keyOf, named, partsOf, signersOf } from "./checkpoints.js";
import { VerificationFailed } from "./errors.js";
import { leafHash, rootOf } from "./verification.js";

/** Line of a receipt that has no signature. */
export const UNSIGNED = "-";
const MOST_HASHES = 64;
const ROLES = new Map([["api", "web"], ["mcp", "web"], ["console", "web"], ["job", "worker"], ["command", "command"]]);

/** Public key of a role, and the time of its end in milliseconds. */
interface ReceiptKey {
  key: Key;
  until: number | null;
}

/** Return the public keys by `<role>+<key id>` from a note that one of the keys of its instance signed. */
export async function endorsedKeys(note: string, keys: readonly Key[]): Promise<Map<string, ReceiptKey>> {
  const { text, signatures } = partsOf(note, "receipt-keys.txt");
  const [name = "", ...words] = text.slice(0, -1).split("\n");
  if (!name.endsWith("/receipt-keys")) throw new VerificationFailed("receipt-keys.txt endorses no keys of receipts.");
  const same = keys.filter((key) => instanceOf(key.name) === instanceOf(name));
  await signersOf(text, signatures, await Promise.all(same.map((key) => named(name, key.public))), name);
  const found = new Map<string, ReceiptKey>();
  for (const word of words) {
    const at = word.indexOf("@");
    const key = await roleKey(at < 0 ? word : word.slice(0, at));
    found.set(`${key.name}+${key.id}`, { key, until: at < 0 ? null : moment(word.slice(at + 1)) });
  }
  return found;
}

/** Verifies signatures of the receipts of a tenant. One signature is verified once. */
export class Origins {
  private readonly verified = new Map<string, boolean>();

  constructor(private readonly keys: Map<string, ReceiptKey>, private readonly tenant: string) {}

  /** Return the role that wrote a receipt, "unsigned" or "unknown key". Throw `VerificationFailed` if it is invalid. */
  async roleOf(body: Bytes, signature: string): Promise<string> {
    if (signature === UNSIGNED) return "unsigned";
    const [name = "", place = "", value = "", ...hashes] = signature.split(" ");
    const [position = "", size = "", ...more] = place.split("/");
    const [index, count, bytes] = [decimal(position, ""), decimal(size, ""), bytesOf(value)];
    if (more.length > 0 || hashes.length > MOST_HASHES || bytes.length !== 64 || index >= count) {
      throw new VerificationFailed("Its signature cannot be read.");
    }
    const path = hashes.map(hashOf);
    const known = this.keys.get(name);
    if (known === undefined) return "unknown key";
    const root = await rootOf(await leafHash(body), index, count, path);
    if (root === null) throw new VerificationFailed("The path of its signature does not fit its position.");
    const text = `threada receipts/1\n${this.tenant}\n${name}\n${count}\n${base64(root)}\n`;
    const what = `${name} ${hex(root)} ${value}`;
    const isValid = this.verified.get(what) ?? (await isSigned(known.key, text, bytes));
    this.verified.set(what, isValid);
    if (!isValid) throw new VerificationFailed(`The signature of ${name} does not verify.`);
    const { entryPoint, at } = written(body);
    if (ROLES.get(entryPoint) !== known.key.name) {
      throw new VerificationFailed(`The ${known.key.name} signed the entry point ${entryPoint}.`);
    }
    if (known.until !== null && at > known.until) {
      throw new VerificationFailed(`The key ${name} was retired before it was written.`);
    }
    return known.key.name;
  }
}

async function roleKey(word: string): Promise<Key> {
  let key: Key;
  try {
    key = await keyOf(word);
  } catch {
    throw new VerificationFailed(`"${word}" in receipt-keys.txt is no key.`);
  }
  if (![...ROLES.values()].includes(key.name)) {
    throw new VerificationFailed(`receipt-keys.txt names the role ${key.name}, which there is not.`);
  }
  return key;
}

function written(body: Bytes): { entryPoint: string; at: number } {
  try {
    const receipt = JSON.parse(decoded(body, "A receipt")) as { actor: { entry_point: unknown }; occurred_at: unknown };
    return { entryPoint: String(receipt.actor.entry_point), at: moment(String(receipt.occurred_at)) };
  } catch {
    throw new VerificationFailed("It does not say by which entry point and when it was written.");
  }
}

function moment(text: string): number {
  const at = instant(text);
  if (at === null) throw new VerificationFailed(`"${text}" is no time.`);
  return at;
}

const base64 = (bytes: Bytes): string => btoa(String.fromCharCode(...bytes));
