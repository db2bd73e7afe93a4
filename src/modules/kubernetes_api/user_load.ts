/** How many requests of one user are on their way. */
export class UserLoad {
  requests = 0;
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

  /** @param user GitLab's id of the user, or the name of one of the `standalone` section; undefined: somebody without a name */
  of(user: bigint | string | undefined): UserLoad {
    if (user === undefined) return new UserLoad();
    const known = this.#loads.get(user)?.deref();
    if (known !== undefined) return known;
    const load = new UserLoad();
    this.#loads.set(user, new WeakRef(load));
    this.#gone.register(load, user);
    return load;
  }
}
