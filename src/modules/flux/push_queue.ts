import type { Project } from '../../gen/gitlab/agent/event/event_pb.ts';
import { errorText } from '../../runtime/app_error.ts';

/** Pushes that wait for one agent; more are dropped, because Flux looks by itself from time to time. */
const CAPACITY = 10;

/** Hands one push after the other to `handle`, in order. */
export class PushQueue {
  readonly #handle: (project: Project) => Promise<void>;
  readonly #onDropped: (project: Project) => void;
  readonly #onFailed: (project: Project, error: string) => void;
  readonly #waiting: Project[] = [];
  #working = false;

  constructor(options: {
    readonly handle: (project: Project) => Promise<void>;
    readonly onDropped: (project: Project) => void;
    /** `handle` has failed; the next push is another matter. */
    readonly onFailed: (project: Project, error: string) => void;
  }) {
    this.#handle = options.handle;
    this.#onDropped = options.onDropped;
    this.#onFailed = options.onFailed;
  }

  add(project: Project): void {
    if (this.#waiting.length === CAPACITY) {
      this.#onDropped(project);
      return;
    }
    this.#waiting.push(project);
    if (!this.#working) void this.#work();
  }

  /** Forgets what waits. */
  clear(): void {
    this.#waiting.length = 0;
  }

  async #work(): Promise<void> {
    this.#working = true;
    for (let project = this.#waiting.shift(); project !== undefined; project = this.#waiting.shift()) {
      try {
        await this.#handle(project);
      } catch (error) {
        this.#onFailed(project, errorText(error));
      }
    }
    this.#working = false;
  }
}
