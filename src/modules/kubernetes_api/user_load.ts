/** GitLab's id of a user, or the name of one of the `standalone` section; undefined: somebody without a name. */
export type UserKey = bigint | string | undefined;

/** How many requests of one user are on their way. */
export class UserLoad {
  readonly user: UserKey;
  requests = 0;

  constructor(user: UserKey) {
    this.user = user;
  }
}

/**
 * The loads of all users. Whoever has a user's load has the same object as everybody else who has it, so that a request costs a
 * comparison and no look-up; it goes when nobody has it any more.
 */
export class UserLoads {
  readonly #loads = new Map<bigint | string, WeakRef<UserLoad>>();
  readonly #gone = new FinalizationRegistry<bigint | string>((user) => {
    if (this.#loads.get(user)?.deref() === undefined) this.#loads.delete(user);
  });

  of(user: UserKey): UserLoad {
    if (user === undefined) return new UserLoad(user);
    const known = this.#loads.get(user)?.deref();
    if (known !== undefined) return known;
    const load = new UserLoad(user);
    this.#loads.set(user, new WeakRef(load));
    this.#gone.register(load, user);
    return load;
  }
}
