import { tmpdir } from 'node:os';
import process from 'node:process';
import { getHeapStatistics } from 'node:v8';
import type { Hono } from 'hono';
import type { DebugConfig } from '../config/config.ts';
import type { Front } from '../net/front.ts';
import type { Log } from '../observability/log.ts';
import { AppError, errorText } from '../runtime/app_error.ts';
import { takeProfile } from '../runtime/profile.ts';
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

/** On SIGUSR2 the state goes to the log. */
export function logStateOnSignal(inspected: Inspected, scope: Scope, log: Log): void {
  const tell = () => log.info('Debug state', debugState(inspected));
  process.on('SIGUSR2', tell);
  scope.own({ close: () => process.off('SIGUSR2', tell) });
}

/** Puts `/debug/…` on the observability listener (docs/operations.md, debugging). */
export function mountDebug(app: Hono, config: DebugConfig, inspected: Inspected, scope: Scope): void {
  app.get('/debug/state', (context) => context.json(debugState(inspected)));
  for (const kind of ['cpu', 'heap'] as const) {
    app.post(`/debug/${kind}_profile`, async (context) => {
      const seconds = Number(context.req.query('seconds') ?? 10);
      if (!(seconds >= 1 && seconds <= LONGEST_PROFILE_S)) {
        return context.text(`seconds must be a number from 1 to ${LONGEST_PROFILE_S}\n`, 400);
      }
      try {
        const folder = config.folder || tmpdir();
        const file = await takeProfile(kind, { durationMs: seconds * 1000, folder, clock: scope.clock });
        return context.json({ file });
      } catch (error) {
        const busy = error instanceof AppError && error.code === StatusCode.FailedPrecondition;
        const never = error instanceof AppError && error.code === StatusCode.Unimplemented;
        return context.text(`${errorText(error)}\n`, busy ? 409 : never ? 501 : 500);
      }
    });
  }
}
