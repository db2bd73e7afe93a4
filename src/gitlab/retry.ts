import type { Clock } from '../runtime/clock.ts';
import type { Random } from '../runtime/random.ts';
import { discardBody } from './body.ts';
import type { HttpResponse } from './transport.ts';
import { TransportError } from './transport_error.ts';

/** Attempts after the first. */
const RETRIES = 4;
const FIRST_WAIT_MS = 100;
const MAX_WAIT_MS = 30_000;

/**
 * Repeats `attempt` while it fails in a way that may pass: no connection, 429, 5xx other than 501. Waits 100, 200, 400 and
 * 800 ms (and up to a tenth more, so that the waiting do not come back all at once), or as many seconds as `Retry-After`
 * says. The last answer or error is the result; a GitLab that wants to be left alone for longer than 30 s is not asked again.
 */
export async function withRetries(
  attempt: () => Promise<HttpResponse>,
  signal: AbortSignal,
  deps: { readonly clock: Clock; readonly random: Random },
): Promise<HttpResponse> {
  for (let retry = 0; ; retry++) {
    let response: HttpResponse | undefined;
    try {
      response = await attempt();
      if (!mayPass(response.status)) return response;
    } catch (error) {
      if (signal.aborted || retry === RETRIES || !(error instanceof TransportError && error.retryable)) throw error;
    }
    const waitMs =
      (response && retryAfterMs(response)) ?? FIRST_WAIT_MS * 2 ** retry * (1 + deps.random.fraction() / 10);
    if (response !== undefined) {
      if (retry === RETRIES || waitMs > MAX_WAIT_MS) return response;
      discardBody(response.body, deps.clock);
    }
    await sleep(waitMs, signal, deps.clock);
  }
}

function mayPass(status: number): boolean {
  return status === 0 || status === 429 || (status >= 500 && status !== 501);
}

function retryAfterMs(response: HttpResponse): number | undefined {
  const value = response.headers['retry-after'];
  if ((response.status !== 429 && response.status !== 503) || value === undefined) return undefined;
  return /^\d+$/.test(value) ? Number(value) * 1000 : undefined;
}

function sleep(ms: number, signal: AbortSignal, clock: Clock): Promise<void> {
  if (signal.aborted) return Promise.reject(signal.reason);
  return new Promise((resolve, reject) => {
    const abort = () => {
      timer.stop();
      reject(signal.reason);
    };
    const timer = clock.startTimer(ms, () => {
      signal.removeEventListener('abort', abort);
      resolve();
    });
    signal.addEventListener('abort', abort, { once: true });
  });
}
