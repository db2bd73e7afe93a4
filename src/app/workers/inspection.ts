import { AppError, errorText } from '../../runtime/app_error.ts';
import type { Link } from '../../runtime/link.ts';
import type { ProfileKind } from '../../runtime/profile.ts';
import type { Scope } from '../../runtime/scope.ts';
import { StatusCode } from '../../runtime/status_code.ts';
import type { Inspector, ProfileOrder } from '../debug.ts';

/** A worker whose event loop stands still says nothing, which is worth knowing. */
const ANSWER_MS = 2000;

/** The worker's side: answers the primary process about itself. */
export function answerInspection(link: Link, own: Inspector): void {
  link.on('worker.state', () => own.state());
  link.on<[ProfileKind, ProfileOrder]>('worker.profile', ([kind, order]) => own.profile(kind, order, undefined));
}

/** Looks at the primary process and at all workers. */
export class CrewInspector implements Inspector {
  readonly #own: Inspector;
  readonly #links: () => ReadonlyMap<number, Link>;
  readonly #scope: Scope;

  /** @param links to the workers that are running, by number */
  constructor(own: Inspector, links: () => ReadonlyMap<number, Link>, scope: Scope) {
    this.#own = own;
    this.#links = links;
    this.#scope = scope;
  }

  async state(): Promise<Record<string, unknown>> {
    const asked = [...this.#links()].map(async ([number, link]) => [number, await this.#ask(link)] as const);
    return { ...(await this.#own.state()), workers: Object.fromEntries(await Promise.all(asked)) };
  }

  profile(kind: ProfileKind, order: ProfileOrder, worker: string | undefined): Promise<string> {
    if (worker === undefined) return this.#own.profile(kind, order, undefined);
    const links = this.#links();
    const link = links.get(Number(worker));
    if (link === undefined) {
      throw new AppError(StatusCode.NotFound, `there is no worker ${worker}, only ${[...links.keys()].join(', ')}`);
    }
    return link.call<string>('worker.profile', kind, order);
  }

  async #ask(link: Link): Promise<unknown> {
    const late = this.#scope.sleep(ANSWER_MS).then(() => ({ error: `no answer within ${ANSWER_MS / 1000} s` }));
    const state = link.call<object>('worker.state').catch((error: unknown) => ({ error: errorText(error) }));
    return await Promise.race([state, late]);
  }
}
