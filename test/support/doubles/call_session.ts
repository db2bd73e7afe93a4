import type { CallSession } from '../../../src/grpc/server_call.ts';
import type { FakeClock } from '../../../src/runtime/fake_clock.ts';
import { Scope } from '../../../src/runtime/scope.ts';

/** An HTTP/2 connection as calls see it, which gets old when a test says so. */
export class FakeCallSession implements CallSession {
  readonly scope: Scope;
  readonly remoteAddress = '192.0.2.1';
  readonly #ageListeners = new Set<() => void>();
  /** How many streams say that they carry bulk data. */
  busyStreams = 0;
  known = false;
  /** What was said for the connection that is not known yet. */
  plea: (() => boolean) | undefined;
  #aged = false;

  constructor(clock: FakeClock) {
    this.scope = new Scope(clock);
  }

  /** How many wait for the connection to get old. */
  get ageListeners(): number {
    return this.#ageListeners.size;
  }

  onAge(f: () => void): () => void {
    if (this.#aged) {
      f();
      return () => {};
    }
    this.#ageListeners.add(f);
    return () => this.#ageListeners.delete(f);
  }

  streamBusy(): void {
    this.busyStreams++;
  }

  streamIdle(): void {
    this.busyStreams--;
  }

  show(plea: () => boolean): void {
    this.plea ??= plea;
  }

  prove(): void {
    this.known = true;
  }

  reachAge(): void {
    this.#aged = true;
    for (const f of [...this.#ageListeners]) f();
    this.#ageListeners.clear();
  }
}
