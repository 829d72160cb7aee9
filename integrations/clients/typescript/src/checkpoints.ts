/** Signed checkpoints of logs (c2sp.org/signed-note, c2sp.org/tlog-checkpoint) and their keys. */

import { type Bytes, bytesOf, decimal, encoder, hashOf, hex, isEqual, joined, sha256 } from "./bytes.js";
import { VerificationFailed } from "./errors.js";

const DASH = "\u2014 ";
const MOST_SIGNATURES = 100;
const COSIGNATURE = 4;
const EMPTY_ROOT = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

/** Public key of a log: `name+id+key`. `public` are its 32 bytes. */
export interface Key {
  name: string;
  id: string;
  public: Bytes;
}

/**
 * Signed tree head. `signedBy` are the ids of the given keys that signed. `completeUntil`: every receipt older than this
 * time is among the first `size`; null in notes of earlier versions, which are checked for order only. `signedFrom`:
 * receipts from this place on carry a signature. `signedAt`: time of the cosignature. Times are in milliseconds.
 */
export interface Checkpoint {
  origin: string;
  size: bigint;
  root: Bytes;
  signedBy: string[];
  completeUntil: number | null;
  signedFrom: bigint | null;
  signedAt: number | null;
}

/** Parse a key. Throw `TypeError` if it is none, because keys come from the caller. */
export async function keyOf(text: string): Promise<Key> {
  const [name = "", id = "", material = ""] = text.trim().split(/\+(.*?)\+(.*)/s);
  let bytes: Bytes;
  try {
    bytes = bytesOf(material);
  } catch {
    throw new TypeError("A key is name+id+key, and its key is base64.");
  }
  if (name === "" || bytes.length !== 33 || bytes[0] !== 1) throw new TypeError("A key is name+id+key, and Ed25519.");
  const key = await named(name, bytes.slice(1));
  if (key.id !== id) throw new TypeError(`The key says id ${id}, but its name and key make ${key.id}.`);
  return key;
}

/** Return a key of an instance under the name of one of its logs, with the id that belongs to this name. */
export async function named(name: string, material: Bytes): Promise<Key> {
  const digest = await sha256(joined(encoder.encode(`${name}\n`), Uint8Array.of(1), material));
  return { name, id: hex(digest.subarray(0, 4)), public: material };
}

/** Open a signed checkpoint: a key for its log must have signed, and no signature of a known key may be wrong. */
export async function opened(note: string, keys: readonly Key[]): Promise<Checkpoint> {
  const { text, signatures } = partsOf(note, "The checkpoint");
  const [origin = "", size = "", root = ""] = text.split("\n");
  if (origin === "" || size === "" || root === "") {
    throw new VerificationFailed("The checkpoint does not say origin, size and root.");
  }
  const head = { origin, size: decimal(size, ""), root: hashOf(root) };
  if (head.size === 0n && hex(head.root) !== EMPTY_ROOT) {
    throw new VerificationFailed("The checkpoint says that an empty log has something in it.");
  }
  const signedBy = await signersOf(text, signatures, keys, origin);
  const signedAt = await cosignedAt(text, signatures, keys, instanceOf(origin));
  return { ...head, signedBy, signedAt, completeUntil: timeIn(text), signedFrom: signedFromIn(text) };
}

/** Return the text of a note and its signature lines. */
export function partsOf(note: string, what: string): { text: string; signatures: string[] } {
  const end = note.lastIndexOf("\n\n");
  // eslint-disable-next-line no-control-regex
  if (end < 0 || !note.endsWith("\n") || /[\u0000-\u0009\u000b-\u001f]/.test(note)) {
    throw new VerificationFailed(`${what} is no signed note.`);
  }
  return { text: note.slice(0, end + 1), signatures: note.slice(end + 2, -1).split("\n") };
}

/** Return the ids of the keys of `name` that signed a note: at least one, none twice, and none with a wrong signature. */
export async function signersOf(text: string, lines: string[], keys: readonly Key[], origin: string): Promise<string[]> {
  const known = keys.filter((key) => key.name === origin);
  if (lines.length > MOST_SIGNATURES) throw new VerificationFailed(`The note of ${origin} has too many signatures.`);
  const signedBy: string[] = [];
  for (const line of lines) {
    const [, name = "", value = ""] = /^\u2014 ([^ ]+) (.*)$/.exec(line) ?? [];
    const signature = bytesOf(value);
    if (!line.startsWith(DASH) || signature.length < 5) {
      throw new VerificationFailed(`A signature line of the note of ${origin} cannot be read.`);
    }
    const id = hex(signature.subarray(0, 4));
    const key = name === origin ? known.find((one) => one.id === id) : undefined;
    if (key === undefined) continue; // another key or a witness
    if (!(await isSigned(key, text, signature.slice(4)))) {
      throw new VerificationFailed(`The signature of key ${id} under the note of ${origin} is wrong.`);
    }
    if (signedBy.includes(id)) throw new VerificationFailed(`A key signed the note of ${origin} twice.`);
    signedBy.push(id);
  }
  if (signedBy.length === 0) throw new VerificationFailed(`None of the keys signed the note of ${origin}.`);
  return signedBy.sort();
}

/** Return the time of the line complete-until in the text of a checkpoint, in milliseconds. */
function timeIn(text: string): number | null {
  const lines = text.split("\n").slice(3).filter((line) => line.startsWith("complete-until"));
  const [first] = lines;
  if (first === undefined) return null;
  const time = /^complete-until ([0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{3}Z)$/.exec(first)?.[1];
  const found = Date.parse(time ?? "");
  if (lines.length > 1 || Number.isNaN(found)) {
    throw new VerificationFailed("The line complete-until of the checkpoint cannot be read.");
  }
  return found;
}

/** Return the number in the line signed-from in the text of a checkpoint. */
function signedFromIn(text: string): bigint | null {
  const lines = text.split("\n").slice(3).filter((line) => line.startsWith("signed-from"));
  const [first] = lines;
  if (first === undefined) return null;
  if (lines.length > 1) throw new VerificationFailed("The line signed-from of the checkpoint cannot be read.");
  return decimal(first, "signed-from ");
}

/** Return the time of a cosignature (c2sp.org/tlog-cosignature, v1) of the instance `name`, in milliseconds. */
async function cosignedAt(text: string, lines: string[], keys: readonly Key[], name: string): Promise<number | null> {
  for (const key of keys) {
    const digest = await sha256(joined(encoder.encode(`${name}\n`), Uint8Array.of(COSIGNATURE), key.public));
    for (const line of lines) {
      const [, who = "", material = ""] = /^\u2014 ([^ ]+) (.*)$/.exec(line) ?? [];
      const value = bytesOf(material);
      if (who !== name || value.length !== 76 || !isEqual(value.slice(0, 4), digest.slice(0, 4))) continue;
      const seconds = Number(new DataView(value.buffer).getBigUint64(4));
      if (seconds < 2 ** 36 && (await isSigned(key, `cosignature/v1\ntime ${seconds}\n${text}`, value.slice(12)))) {
        return seconds * 1000;
      }
    }
  }
  return null;
}

/** Return an RFC 3339 time of UTC in milliseconds, or null if the text is none. */
export function instant(text: string): number | null {
  const [, seconds = "", fraction = ""] = /^(\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2})(?:\.(\d{1,6}))?Z$/.exec(text) ?? [];
  const found = new Date(`${seconds}Z`);
  if (Number.isNaN(found.getTime()) || !found.toISOString().startsWith(seconds)) return null;
  return found.getTime() + Number(fraction.padEnd(6, "0")) / 1000;
}

/** Return the time of an id in milliseconds: its first 48 bits (UUIDv7 in TypeID form). Null if it has none. */
export function timeOfId(id: string): number | null {
  const digits = id.slice(id.lastIndexOf("_") + 1).slice(0, 10);
  if (!/^[0-7][0-9a-hjkmnp-tv-z]{9}$/.test(digits)) return null;
  return [...digits].reduce((time, digit) => time * 32 + "0123456789abcdefghjkmnpqrstvwxyz".indexOf(digit), 0);
}

/** Return the signed notes of a text with one or several of them, one after the other. */
export function notesIn(text: string): string[] {
  const notes: string[] = [];
  let [current, isSigned, last] = ["", false, ""];
  for (const line of text.replace(/\n$/, "").split("\n")) {
    if (isSigned && !line.startsWith(DASH)) {
      notes.push(current);
      [current, isSigned] = ["", false];
      if (line === "") continue;
    }
    isSigned ||= line.startsWith(DASH) && current !== "" && last === "";
    current += `${line}\n`;
    last = line;
  }
  return current === "" ? notes : [...notes, current];
}

/** Return the name of the instance from the name of one of its logs or keys. */
export const instanceOf = (name: string): string =>
  name.slice(0, Math.max(name.lastIndexOf("/"), 0)).replace(/\/restored-[0-9]+$/, "");

/** Return true if the key signed this text. */
export async function isSigned(key: Key, text: string, signature: Bytes): Promise<boolean> {
  const imported = await crypto.subtle.importKey("raw", key.public, "Ed25519", false, ["verify"]);
  return crypto.subtle.verify("Ed25519", imported, signature, encoder.encode(text));
}
