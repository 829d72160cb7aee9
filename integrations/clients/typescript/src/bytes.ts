/** Bytes, hashes and base64, as the verification of receipts needs them. */

import { VerificationFailed } from "./errors.js";

export type Bytes = Uint8Array<ArrayBuffer>;
export const encoder = new TextEncoder();

export function decimal(line: string, head: string): bigint {
  const text = line.startsWith(head) ? line.slice(head.length) : "";
  if (!/^(0|[1-9][0-9]{0,18})$/.test(text)) throw new VerificationFailed(`"${line}" is no number.`);
  return BigInt(text);
}

export function hashOf(line: string): Bytes {
  const bytes = bytesOf(line);
  if (bytes.length !== 32) throw new VerificationFailed("A hash does not have 32 bytes.");
  return bytes;
}

export function bytesOf(text: string): Bytes {
  let raw: string;
  try {
    raw = atob(text);
  } catch {
    throw new VerificationFailed(`"${text}" is not base64.`);
  }
  if (btoa(raw) !== text) throw new VerificationFailed(`"${text}" is not canonical base64.`);
  return Uint8Array.from(raw, (sign) => sign.charCodeAt(0));
}

export async function sha256(bytes: Bytes): Promise<Bytes> {
  return new Uint8Array(await crypto.subtle.digest("SHA-256", bytes));
}

export function joined(...parts: Uint8Array[]): Bytes {
  const whole = new Uint8Array(parts.reduce((length, part) => length + part.length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}

export const isEqual = (left: Bytes, right: Bytes): boolean => hex(left) === hex(right);
export const hex = (bytes: Uint8Array): string => Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");

/** Return UTF-8 bytes as text. `what` names the file in the error. */
export function decoded(bytes: Uint8Array, what: string): string {
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    throw new VerificationFailed(`${what} is not UTF-8.`);
  }
}
