import { SharedFlight } from '../../auth/shared_flight.ts';
import type { GitalyCallOptions, GitalyClient, RepositoryAt } from '../../gitaly/client.ts';
import type { Discovered } from '../../gitaly/reference_discovery.ts';

/** Where references point: agents of the same project that ask at the same time, as after a push, share one answer. */
export class RepositoryHeads {
  readonly #gitaly: Pick<GitalyClient, 'findRef'>;
  readonly #flights = new Map<string, SharedFlight<Discovered>>();

  constructor(gitaly: Pick<GitalyClient, 'findRef'>) {
    this.#gitaly = gitaly;
  }

  /** The commit that a reference points at; Gitaly is asked on behalf of who asks first. Rejects like GitalyClient. */
  find(at: RepositoryAt, ref: string, { signal, span }: GitalyCallOptions): Promise<Discovered> {
    const key = keyOf(at, ref);
    let flight = this.#flights.get(key);
    if (flight === undefined) {
      flight = new SharedFlight(
        (asking) => this.#gitaly.findRef(at, ref, { signal: asking, span }),
        (ended) => {
          if (this.#flights.get(key) === ended) this.#flights.delete(key);
        },
      );
      this.#flights.set(key, flight);
    }
    return flight.join(signal);
  }

  /** There was a push: an answer that is on its way may be from before it, and is no answer to who asks now. */
  outdate(at: RepositoryAt, ref: string): void {
    this.#flights.delete(keyOf(at, ref));
  }
}

/** A repository, as who may read it sees it. */
export function placeOf({ gitaly, repository }: RepositoryAt): string {
  return `${gitaly.address}\n${gitaly.token}\n${repository.storageName}\n${repository.relativePath}`;
}

function keyOf(at: RepositoryAt, ref: string): string {
  return `${placeOf(at)}\n${ref}`;
}
