import type { Log } from '../observability/log.ts';
import type { Clock, Timer } from '../runtime/clock.ts';
import type { HttpResponse } from './transport.ts';

/** Behind these paths GitLab looks at the secret before anything else. */
const WITH_SECRET = '/api/v4/internal/';
/** GitLab wants nothing but the secret for these: 401 can mean nothing else. */
const SECRET_ONLY = /^\/api\/v4\/internal\/kubernetes\/(usage_metrics|agent_events|agent_configuration)$/;

/** How long others have to show that the secret is good before GitLab is asked on purpose. */
const SUSPECT_MS = 2_000;
/** Between two questions: agents whose token was revoked come again and again. */
const BETWEEN_MS = 60_000;

/** A JWT is good from 5 s before it was made until 30 s after (request_token.ts). */
const LATEST_CLOCK_S = 30;
const EARLIEST_CLOCK_S = -5;

export interface SecretWatchDeps {
  /** Makes a call that needs nothing but the secret, and tells `heard` of the answer as every call does. May reject. */
  readonly ask: () => Promise<void>;
  readonly clock: Clock;
  readonly log: Log;
  /** Called with the reason when GitLab begins to refuse the secret, and with undefined when it takes it again. */
  readonly onChange: (trouble: string | undefined) => void;
}

/**
 * Finds out whether GitLab refuses this server's secret. An agent's bad token gets the same 401, so a 401 is a suspicion only:
 * unless another call is accepted meanwhile, GitLab is asked something that needs no other credential
 * (docs/protocol/gitlab.md, whose credential is refused).
 */
export class SecretWatch {
  readonly #deps: SecretWatchDeps;
  #timer: Timer | undefined;
  #askedAtMs = Number.NEGATIVE_INFINITY;
  #refused = false;
  #closed = false;

  constructor(deps: SecretWatchDeps) {
    this.#deps = deps;
  }

  /** An answer of GitLab to a call. */
  heard(path: string, response: Pick<HttpResponse, 'status' | 'headers'>): void {
    if (!path.startsWith(WITH_SECRET) || this.#closed) return;
    const { status } = response;
    if (status >= 200 && status < 300) this.#accept();
    else if (status === 401) {
      if (SECRET_ONLY.test(path)) this.#refuse(path, response);
      else this.#askIn(SUSPECT_MS);
    }
  }

  /** Nothing is asked any more. */
  close(): void {
    this.#closed = true;
    this.#stop();
  }

  #accept(): void {
    this.#stop();
    if (!this.#refused) return;
    this.#refused = false;
    this.#deps.log.info('GitLab takes the secret again');
    this.#deps.onChange(undefined);
  }

  #refuse(path: string, response: Pick<HttpResponse, 'headers'>): void {
    // Whoever mends it sees so soon, also if no agent comes meanwhile.
    this.#askIn(BETWEEN_MS);
    if (this.#refused) return;
    this.#refused = true;
    const { log, clock, onChange } = this.#deps;
    const aheadS = clockAheadS(response, clock);
    const isClock = aheadS !== undefined && (aheadS > LATEST_CLOCK_S || aheadS < EARLIEST_CLOCK_S);
    log.error('GitLab refuses the secret', {
      url_path: path,
      status: 401,
      ...(isClock && { gitlab_clock_ahead_seconds: aheadS }),
      hint: isClock
        ? "GitLab's clock and this host's differ by more than tokens are valid: set them, for instance with NTP"
        : "gitlab.authentication_secret_file must hold the same 32 bytes as GitLab's .gitlab_kas_secret, and GitLab be restarted after a change of its own; agents and users are refused until then",
    });
    onChange(`GitLab refuses the secret${isClock ? `, its clock is ${aheadS} s ahead of ours` : ''}`);
  }

  #askIn(delayMs: number): void {
    if (this.#timer !== undefined) return;
    const { clock } = this.#deps;
    const soonestMs = this.#askedAtMs + BETWEEN_MS - clock.monotonicMs();
    this.#timer = clock.startTimer(Math.max(delayMs, soonestMs), () => void this.#ask());
  }

  async #ask(): Promise<void> {
    this.#timer = undefined;
    this.#askedAtMs = this.#deps.clock.monotonicMs();
    await this.#deps.ask().catch(() => {}); // logged like any other call
    if (this.#refused && !this.#closed) this.#askIn(BETWEEN_MS);
  }

  #stop(): void {
    this.#timer?.stop();
    this.#timer = undefined;
  }
}

/** By how many whole seconds the other end's clock is ahead of this host's, as far as it says. */
function clockAheadS({ headers }: Pick<HttpResponse, 'headers'>, clock: Clock): number | undefined {
  const theirs = Date.parse(headers.date ?? '');
  return Number.isNaN(theirs) ? undefined : Math.round((theirs - clock.wallMs()) / 1000);
}
