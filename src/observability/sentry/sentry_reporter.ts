import { request as httpRequest } from 'node:http';
import { request as httpsRequest } from 'node:https';
import { hostname } from 'node:os';
import {
  createEventEnvelope,
  createTransport,
  getEnvelopeEndpointWithUrlEncodedAuth,
  type TransportMakeRequestResponse,
} from '@sentry/core';
import { AppError, errorText } from '../../runtime/app_error.ts';
import type { Clock } from '../../runtime/clock.ts';
import { StatusCode } from '../../runtime/status_code.ts';
import type { ReportError } from '../error_reports.ts';
import type { Log } from '../log.ts';
import { NowAndThen } from '../now_and_then.ts';
import { outgoingAgent } from '../outgoing_agent.ts';
import { parseDsn } from './dsn.ts';
import { sentryEvent } from './sentry_event.ts';

/** Events in a minute; what goes wrong more often is in the log. */
const EVENTS_PER_MINUTE = 30;
const MINUTE_MS = 60_000;
const REQUEST_TIMEOUT_MS = 10_000;
const FLUSH_MS = 5000;

export interface SentryOptions {
  readonly dsn: string;
  readonly environment: string;
  readonly release: string;
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Certificates to trust, in PEM. */
  readonly ca: readonly string[];
  readonly clock: Clock;
  /** For trouble with Sentry itself: not a log that reports to it. */
  readonly log: Log;
}

export interface SentryReporter {
  readonly report: ReportError;
  /** Sends what waits, as far as that goes within a few seconds. */
  flush(): Promise<void>;
}

/**
 * Sends events to Sentry: so many a minute and so many at a time, the rest is dropped. Trouble with Sentry costs a line a minute.
 * @throws AppError InvalidArgument if the DSN is none
 */
export function createSentryReporter(options: SentryOptions): SentryReporter {
  const { env, ca, clock, log } = options;
  const dsn = parseDsn(options.dsn);
  if (dsn === undefined) throw new AppError(StatusCode.InvalidArgument, 'error tracker: the DSN is not valid');
  const url = new URL(getEnvelopeEndpointWithUrlEncodedAuth(dsn));
  const agent = outgoingAgent(url.protocol, { env, ca });
  const complaints = new NowAndThen(clock, MINUTE_MS);
  const failed = (problem: string) => {
    if (!complaints.due) return;
    log.warn('Sentry error', {
      error: `POST ${url.origin}${url.pathname}: ${problem}`,
      hint: 'is observability.sentry.dsn right, and can this host reach it?',
    });
  };
  const transport = createTransport({ recordDroppedEvent() {} }, async ({ body }) => {
    try {
      const answer = await post(url, agent, body);
      if ((answer.statusCode ?? 0) >= 400) failed(`HTTP status code: ${answer.statusCode}`);
      return answer;
    } catch (error) {
      failed(errorText(error));
      return {};
    }
  });
  const origin = { release: options.release, environment: options.environment, serverName: hostname() };
  let windowEndsMs = 0;
  let left = 0;
  return {
    report(message, fields) {
      const nowMs = clock.monotonicMs();
      if (nowMs >= windowEndsMs) {
        windowEndsMs = nowMs + MINUTE_MS;
        left = EVENTS_PER_MINUTE;
      }
      if (left-- <= 0) return;
      void transport.send(createEventEnvelope(sentryEvent(message, fields, origin, clock.wallMs() / 1000), dsn));
    },
    async flush() {
      await transport.flush(FLUSH_MS);
      agent.destroy();
    },
  };
}

function post(
  url: URL,
  agent: ReturnType<typeof outgoingAgent>,
  body: string | Uint8Array,
): Promise<TransportMakeRequestResponse> {
  return new Promise((resolve, reject) => {
    const request = url.protocol === 'http:' ? httpRequest : httpsRequest;
    const headers = { 'Content-Type': 'application/x-sentry-envelope', 'Content-Length': Buffer.byteLength(body) };
    const sent = request(url, { method: 'POST', agent, headers, timeout: REQUEST_TIMEOUT_MS }, (response) => {
      response.resume();
      response.on('error', reject);
      response.on('end', () => {
        const header = (name: string) => response.headers[name]?.toString() ?? null;
        const limits = { 'x-sentry-rate-limits': header('x-sentry-rate-limits'), 'retry-after': header('retry-after') };
        resolve({ statusCode: response.statusCode, headers: limits } as TransportMakeRequestResponse);
      });
    });
    sent.on('error', reject);
    sent.on('timeout', () => sent.destroy(new Error('no answer in time')));
    sent.end(body);
  });
}
