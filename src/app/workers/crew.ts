import type { Log } from '../../observability/log.ts';
import { AppError, errorText } from '../../runtime/app_error.ts';
import { Backoff } from '../../runtime/backoff.ts';
import type { Link } from '../../runtime/link.ts';
import type { Random } from '../../runtime/random.ts';
import type { Scope } from '../../runtime/scope.ts';
import { StatusCode } from '../../runtime/status_code.ts';
import type { Health, Readiness } from '../readiness.ts';
import type { WorkerEnd, WorkerProcess } from './worker_process.ts';

/** A worker that has ended is started again after so long, longer each time. */
const RESTART = { initMs: 100, maxMs: 30_000, resetMs: 120_000, factor: 2, jitter: 0.2 };
/** How often workers are asked whether they are well, and after what silence they are taken for dead. */
const ASK_MS = 2000;
const SILENT_MS = 30_000;

export interface CrewOptions {
  /** How many workers there are to be. */
  readonly size: number;
  start(number: number): WorkerProcess;
  /** A worker is there: `link` is to be served, until the returned function is called. */
  serve(number: number, link: Link): () => void;
  /** Says of each worker what it lacks, and what it does without. */
  readonly readiness: Readiness;
  readonly scope: Scope;
  readonly random: Random;
  readonly log: Log;
}

interface Ended {
  readonly pid: number | undefined;
  readonly end: WorkerEnd;
  /** What the worker itself has said of it. */
  readonly failure: string | undefined;
}

/** The workers of a server. Those that end before their time are started again, once all have been there together. */
export class Crew {
  readonly #options: CrewOptions;
  readonly #workers = new Map<number, WorkerProcess>();
  /** Closed when nobody is started any more. */
  readonly #starting: Scope;
  #wasComplete = false;
  readonly #kept: Promise<void>[] = [];

  constructor(options: CrewOptions) {
    this.#options = options;
    this.#starting = options.scope.child();
    options.scope.own({ close: () => this.#kill() });
  }

  /** The links to the workers that are running, by number. */
  links(): ReadonlyMap<number, Link> {
    return new Map([...this.#workers].map(([number, { link }]) => [number, link]));
  }

  /**
   * Resolves when all workers are ready, or the crew is told to leave before.
   * @throws AppError what the first of them says that cannot start
   */
  async start(): Promise<void> {
    const numbers = Array.from({ length: this.#options.size }, (_, i) => i + 1);
    const ready = numbers.map(
      (number) => new Promise<void>((resolve, reject) => this.#kept.push(this.#keep(number, resolve, reject))),
    );
    await Promise.race([Promise.all(ready), Promise.all(this.#kept)]);
    this.#wasComplete = true;
  }

  /** Tells all to leave. Resolves when they have; who takes longer than `deadlineMs` is killed. */
  async leave(deadlineMs: number): Promise<void> {
    const { scope, log } = this.#options;
    this.#starting.close();
    for (const { link } of this.#workers.values()) link.tell('worker.shutdown');
    const left = Promise.all(this.#kept).then(() => true);
    if (await Promise.race([left, scope.sleep(deadlineMs).then(() => false)])) return;
    log.warn('Killing workers that have not ended in time', { workers: [...this.#workers.keys()] });
    this.#kill();
    await left;
  }

  /** Runs one worker after another. */
  async #keep(number: number, ready: () => void, failed: (error: AppError) => void): Promise<void> {
    const { scope, random, log, readiness } = this.#options;
    const backoff = new Backoff(RESTART, { clock: scope.clock, random });
    do {
      const { pid, end, failure } = await this.#runOnce(number, ready);
      const fields = { worker: number, worker_pid: pid, ...fieldsOf(end), error: failure };
      if (this.#starting.closed) {
        if (end !== 0) log.warn('A worker has not left in order', fields);
        return;
      }
      if (!this.#wasComplete) {
        const text = failure ?? `worker ${number} ended with ${end} while it started`;
        failed(new AppError(StatusCode.FailedPrecondition, text));
        return;
      }
      readiness.set(nameOf(number), 'has ended, is started again');
      readiness.degrade(nameOf(number), undefined);
      const delayMs = Math.round(backoff.nextMs());
      const hint =
        'its own lines before this one may say why; a signal KILL is often the kernel out of memory (server.workers, server.limits.bytes_in_flight)';
      log.error('A worker has ended, it is started again', { ...fields, delay_ms: delayMs, hint });
      await this.#starting.sleep(delayMs);
    } while (!this.#starting.closed);
  }

  async #runOnce(number: number, ready: () => void): Promise<Ended> {
    const { start, serve, scope, readiness, log } = this.#options;
    readiness.set(nameOf(number), 'starting');
    const worker = start(number);
    this.#workers.set(number, worker);
    const { link, pid } = worker;
    const stopServing = serve(number, link);
    const watching = scope.child();
    let failure: string | undefined;
    link.on<[string]>('worker.failed', ([text]) => {
      failure = text;
    });
    link.on('worker.ready', () => {
      log.info('A worker is ready', { worker: number, worker_pid: pid });
      readiness.set(nameOf(number), undefined);
      ready();
      void this.#watch(worker, watching);
    });
    const end = await worker.ended;
    watching.close();
    this.#workers.delete(number);
    stopServing();
    return { pid, end, failure };
  }

  /** Asks now and then what the worker lacks. Who has nothing to say at all serves nobody, and is killed. */
  async #watch(worker: WorkerProcess, scope: Scope): Promise<void> {
    const { readiness, log } = this.#options;
    const { number, link } = worker;
    while (await scope.sleep(ASK_MS)) {
      const answer = link
        .call<Health>('worker.health')
        .catch((error: unknown): Health => ({ missing: [errorText(error)], degraded: [] }));
      const health = await Promise.race([answer, scope.sleep(SILENT_MS).then(() => undefined)]);
      if (scope.closed) return;
      if (health !== undefined) {
        readiness.set(nameOf(number), health.missing.join('; ') || undefined);
        readiness.degrade(nameOf(number), health.degraded.join('; ') || undefined);
      } else {
        log.error('A worker does not answer, killing it', {
          worker: number,
          worker_pid: worker.pid,
          hint: 'its event loop stands still; it is started again. Should it recur, please report it',
        });
        worker.signal('SIGKILL');
        return;
      }
    }
  }

  #kill(): void {
    this.#starting.close();
    for (const worker of this.#workers.values()) worker.signal('SIGKILL');
  }
}

function nameOf(number: number): string {
  return `worker ${number}`;
}

function fieldsOf(end: WorkerEnd): Record<string, unknown> {
  return typeof end === 'number' ? { exit_status: end } : { ended_by: end };
}
