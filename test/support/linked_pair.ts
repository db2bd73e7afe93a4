import { deserialize, serialize } from 'node:v8';
import { Link, type LinkMessage } from '../../src/runtime/link.ts';

/** Two ends of one link, in one process: messages are copied as between processes, and arrive at once. */
export function linkedPair(): { readonly here: Link; readonly there: Link } {
  const copy = (message: LinkMessage): LinkMessage => deserialize(serialize(message));
  const here: Link = new Link((message, handle) => there.receive(copy(message), handle));
  const there: Link = new Link((message, handle) => here.receive(copy(message), handle));
  return { here, there };
}
