/** Signatures of webhooks and callbacks, as in Standard Webhooks (https://www.standardwebhooks.com). */

import { SignatureInvalid } from "./errors.js";

const PREFIX = "whsec_";
const FEWEST_BYTES = 24;
const MOST_SIGNATURES = 8;
const encoder = new TextEncoder();

export interface Tolerance {
  /** Greatest age in seconds. Default: 300. */
  toleranceS?: number;
}

/**
 * Return the id of a webhook that is signed by one of `secrets`. Throw `SignatureInvalid` otherwise.
 *
 * Store the ids that were handled: a repeated delivery has the same id. While a secret is rotated, give both. Read the
 * body as bytes: parsed and written JSON is another text.
 */
export async function verifyWebhook(
  body: Uint8Array,
  headers: Headers | Record<string, string>,
  secrets: readonly string[],
  options: Tolerance = {},
): Promise<string> {
  const found = new Headers(headers);
  const id = found.get("webhook-id") ?? "";
  const timestamp = found.get("webhook-timestamp") ?? "";
  if (id === "" || !/^\d{1,12}$/.test(timestamp)) throw new SignatureInvalid("webhook-id or webhook-timestamp is missing.");
  const tolerance = options.toleranceS ?? 300;
  if (Math.abs(Date.now() / 1000 - Number(timestamp)) > tolerance) {
    throw new SignatureInvalid(`webhook-timestamp is more than ${tolerance} s off.`);
  }
  const signatures = (found.get("webhook-signature") ?? "").split(" ").slice(0, MOST_SIGNATURES);
  let isSigned = false;
  // Every pair is checked, by WebCrypto in constant time, so that the time does not tell which secret signed.
  for (const secret of secrets) {
    const key = await keyOf(secret, "verify");
    for (const signature of signatures) {
      const bytes = signature.startsWith("v1,") ? decoded(signature.slice(3)) : null;
      if (bytes !== null && (await crypto.subtle.verify("HMAC", key, bytes, signed(id, timestamp, body)))) isSigned = true;
    }
  }
  if (!isSigned) throw new SignatureInvalid("No signature is made by one of the secrets.");
  return id;
}

/** Callbacks are signed like webhooks. */
export const verifyCallback = verifyWebhook;

/** Return the headers of a callback, the report of an outcome to the address in `Threada-Callback-Url`. */
export async function signCallback(
  body: Uint8Array,
  secret: string,
  options: { messageId?: string } = {},
): Promise<Record<string, string>> {
  const id = options.messageId ?? `msg_${crypto.randomUUID()}`;
  const timestamp = String(Math.floor(Date.now() / 1000));
  const signature = await crypto.subtle.sign("HMAC", await keyOf(secret, "sign"), signed(id, timestamp, body));
  return {
    "webhook-id": id,
    "webhook-timestamp": timestamp,
    "webhook-signature": `v1,${btoa(String.fromCharCode(...new Uint8Array(signature)))}`,
    "content-type": "application/json",
  };
}

function signed(id: string, timestamp: string, body: Uint8Array): Uint8Array<ArrayBuffer> {
  const head = encoder.encode(`${id}.${timestamp}.`);
  const whole = new Uint8Array(head.length + body.length);
  whole.set(head);
  whole.set(body, head.length);
  return whole;
}

async function keyOf(secret: string, use: "sign" | "verify"): Promise<CryptoKey> {
  const bytes = secret.startsWith(PREFIX) ? decoded(secret.slice(PREFIX.length)) : encoder.encode(secret);
  if (bytes === null || bytes.length < FEWEST_BYTES) {
    throw new TypeError(`The secret is not whsec_ and base64, or shorter than ${FEWEST_BYTES} bytes.`);
  }
  return crypto.subtle.importKey("raw", bytes, { name: "HMAC", hash: "SHA-256" }, false, [use]);
}

function decoded(text: string): Uint8Array<ArrayBuffer> | null {
  try {
    return Uint8Array.from(atob(text), (sign) => sign.charCodeAt(0));
  } catch {
    return null;
  }
}
