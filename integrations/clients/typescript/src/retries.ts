/** `fetch` with retries: the same request, with the same idempotency key, until it is answered. */

import { ConnectionFailed } from "./errors.js";

const ATTEMPTS = 5;
const FIRST_PAUSE_MS = 250;
const LONGEST_PAUSE_MS = 30_000;
const NOTHING_DONE = 429;
/** Answers of proxies, or of a server that has lost its database: the server may have acted. */
const PERHAPS_DONE = new Set([502, 503, 504]);

export type Fetch = (request: Request) => Promise<Response>;

export const pause = (milliseconds: number): Promise<void> =>
  new Promise((resolve) => setTimeout(resolve, milliseconds));

/** Return a `fetch` that repeats what the server has not answered, or has asked to repeat. */
export function withRetries(send: Fetch): Fetch {
  return async (request) => {
    const isRepeatable =
      ["GET", "PUT", "DELETE"].includes(request.method) || request.headers.has("Idempotency-Key");
    for (let attempt = 1; ; attempt += 1) {
      const isLast = attempt === ATTEMPTS;
      let answer: Response;
      try {
        answer = await send(request.clone());
      } catch (error) {
        if (request.signal.aborted) throw error;
        if (isLast || !isRepeatable) throw new ConnectionFailed(String(error), { cause: error });
        await pause(backoff(attempt));
        continue;
      }
      if (isLast || !(await isWorthRepeating(answer, isRepeatable))) return answer;
      await pause(Math.max(backoff(attempt), retryAfter(answer)));
    }
  };
}

async function isWorthRepeating(answer: Response, isRepeatable: boolean): Promise<boolean> {
  if (answer.status < 400 || retryAfter(answer) > LONGEST_PAUSE_MS) return false;
  if (answer.status === NOTHING_DONE) return true;
  if (answer.status === 409) return (await answer.clone().text()).includes('"idempotency_in_flight"');
  return isRepeatable && PERHAPS_DONE.has(answer.status);
}

/** Return a random part of a pause that doubles, so that clients do not return together. */
function backoff(attempt: number): number {
  return FIRST_PAUSE_MS * 2 ** (attempt - 1) * (0.5 + Math.random() / 2);
}

/** Return the milliseconds in `Retry-After`, a number of seconds or a date; 0 without one. */
function retryAfter(answer: Response): number {
  const value = answer.headers.get("Retry-After") ?? "";
  if (/^\d+$/.test(value)) return Number(value) * 1000;
  const at = Date.parse(value);
  return Number.isNaN(at) ? 0 : Math.max(0, at - Date.now());
}
