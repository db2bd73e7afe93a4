/** Names with their values, every name once, in the order of first appearance: a protobuf map of string lists. */
export type ValueLists = [name: string, values: string[]][];

/** From here on a map is quicker than looking through the list, and a flood of names stays linear. */
const INDEX_FROM = 24;

/** Collects values under names, keeping the order of the values of one name. */
export class ValueListsBuilder {
  readonly lists: ValueLists = [];
  #index: Map<string, string[]> | undefined;

  add(name: string, value: string): void {
    const values = this.find(name);
    if (values !== undefined) {
      values.push(value);
      return;
    }
    const fresh = [value];
    this.lists.push([name, fresh]);
    if (this.#index !== undefined) this.#index.set(name, fresh);
    else if (this.lists.length === INDEX_FROM) this.#index = new Map(this.lists);
  }

  find(name: string): string[] | undefined {
    return this.#index === undefined ? findValues(this.lists, name) : this.#index.get(name);
  }
}

/** The values under a name, compared exactly. */
export function findValues(lists: ValueLists, name: string): string[] | undefined {
  for (const list of lists) {
    if (list[0] === name) return list[1];
  }
  return undefined;
}
