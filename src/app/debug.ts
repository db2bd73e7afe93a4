import { tmpdir } from 'node:os';
import process from 'node:process';
import { getHeapStatistics } from 'node:v8';
import type { Hono } from 'hono';
import type { DebugConfig } from '../config/config.ts';
import type { Front } from '../net/front.ts';
import type { Log } from '../observability/log.ts';
import { AppError, errorText } from '../runtime/app_error.ts';
import type { Clock } from '../runtime/clock.ts';
import { type ProfileKind, takeProfile } from '../runtime/profile.ts';
import type { Scope } from '../runtime/scope.ts';
import { StatusCode } from '../runtime/status_code.ts';

/** Longer ones would be forgotten, and cost all the while. */
const LONGEST_PROFILE_S = 120;

/** What is shown of the server's own parts: numbers, never a name or a token of anybody. */
export interface Inspected {
  readonly fronts: Map<string, Front>;
  readonly tunnels: () => object;
  readonly waitingRequests: () => number;
  readonly droppedLogLines: () => number;
}

/** The process in numbers, for somebody who wonders what it is doing. */
function debugState({ fronts, tunnels, waitingRequests, droppedLogLines }: Inspected): Record<string, unknown> {
  const heap = getHeapStatistics();
  const handles: Record<string, number> = {};
  for (const kind of process.getActiveResourcesInfo()) handles[kind] = (handles[kind] ?? 0) + 1;
  const { user, system } = process.cpuUsage();
  return {
    pid: process.pid,
    uptime_s: Math.round(process.uptime()),
    cpu_s: (user + system) / 1e6,
    listeners: Object.fromEntries(
      [...fronts].map(([name, front]) => [name, { address: front.address, ...front.count() }]),
    ),
    tunnels: tunnels(),
    waiting_requests: waitingRequests(),
    dropped_log_lines: droppedLogLines(),
    handles,
    memory: process.memoryUsage(),
    heap: {
      used_bytes: heap.used_heap_size,
      total_bytes: heap.total_heap_size,
      limit_bytes: heap.heap_size_limit,
      external_bytes: heap.external_memory,
      detached_contexts: heap.number_of_detached_contexts,
    },
  };
}

/** What can be looked at: this process, or all of a server's. */
export interface Inspector {
  state(): Promise<Record<string, unknown>>;
  /** @param worker which one; undefined: the process that is asked. @throws AppError as takeProfile, NotFound for a worker that there is not */
  profile(kind: ProfileKind, order: ProfileOrder, worker: string | undefined): Promise<string>;
}

/** How long to profile, and where the result goes. */
export interface ProfileOrder {
  readonly durationMs: number;
  readonly folder: string;
}

/** Looks at this process. */
export class OwnInspector implements Inspector {
  readonly #inspected: Inspected;
  readonly #clock: Clock;

  constructor(inspected: Inspected, clock: Clock) {
    this.#inspected = inspected;
    this.#clock = clock;
  }

  state(): Promise<Record<string, unknown>> {
    return Promise.resolve(debugState(this.#inspected));
  }

  profile(kind: ProfileKind, order: ProfileOrder, worker?: string): Promise<string> {
    if (worker !== undefined) throw new AppError(StatusCode.NotFound, 'there are no workers (server.workers)');
    return takeProfile(kind, { ...order, clock: this.#clock });
  }
}

/** On SIGUSR2 the state goes to the log. */
export function logStateOnSignal(inspector: Pick<Inspector, 'state'>, scope: Scope, log: Log): void {
  const tell = () => void inspector.state().then((state) => log.info('Debug state', state));
  process.on('SIGUSR2', tell);
  scope.own({ close: () => process.off('SIGUSR2', tell) });
}

/** How an answer says that there is no profile. */
const refusals: Partial<Record<StatusCode, 404 | 409 | 501>> = {
  [StatusCode.NotFound]: 404,
  [StatusCode.FailedPrecondition]: 409,
  [StatusCode.Unimplemented]: 501,
};

/** Puts `/debug/…` on the observability listener (docs/operations.md, debugging). */
export function mountDebug(app: Hono, config: DebugConfig, inspector: Inspector): void {
  app.get('/debug/state', async (context) => context.json(await inspector.state()));
  for (const kind of ['cpu', 'heap'] as const) {
    app.post(`/debug/${kind}_profile`, async (context) => {
      const seconds = Number(context.req.query('seconds') ?? 10);
      if (!(seconds >= 1 && seconds <= LONGEST_PROFILE_S)) {
        return context.text(`seconds must be a number from 1 to ${LONGEST_PROFILE_S}\n`, 400);
      }
      try {
        const order = { durationMs: seconds * 1000, folder: config.folder || tmpdir() };
        return context.json({ file: await inspector.profile(kind, order, context.req.query('worker')) });
      } catch (error) {
        const status = error instanceof AppError ? refusals[error.code] : undefined;
        return context.text(`${errorText(error)}\n`, status ?? 500);
      }
    });
  }
}
