import { errorText } from '../../runtime/app_error.ts';
import type { Scope } from '../../runtime/scope.ts';
import type { RedisLink } from './link.ts';
import { RedisError } from './redis_error.ts';
import { asArray } from './reply.ts';

export interface HostPort {
  readonly host: string;
  readonly port: number;
}

export interface Sentinels {
  readonly masterName: string;
  readonly addresses: readonly HostPort[];
  /** Connects to one, and logs in. */
  readonly dial: (address: HostPort) => Promise<RedisLink>;
}

const DONE = new RedisError('asked what was to be asked');
const LOOK_AGAIN_MS = 1000;

/**
 * Asks the sentinels which server is the master. All at once, because the machine that has just died may well have had one
 * of them; the first to know counts.
 * @throws RedisError that says of each sentinel why it was no help
 */
export function findMaster(sentinels: Sentinels): Promise<HostPort> {
  const { masterName } = sentinels;
  return firstOf(sentinels, async (link) => {
    try {
      const reply = await link.send(['SENTINEL', 'get-master-addr-by-name', masterName]);
      if (reply === null) throw new RedisError(`knows no master ${JSON.stringify(masterName)}`);
      const [host, port] = asArray(reply).map(String);
      return { host: host ?? '', port: Number(port) };
    } finally {
      link.close(DONE);
    }
  });
}

/**
 * Ends a connection to the master as soon as a sentinel says that another server is it. An old master that still runs is
 * told so only seconds later, and loses what it is sent until then.
 */
export async function watchMaster(
  sentinels: Sentinels,
  master: HostPort,
  link: RedisLink,
  scope: Scope,
): Promise<void> {
  const another = () => link.close(new RedisError('the sentinels have named another master'));
  while (!scope.closed) {
    try {
      const sentinel = await firstOf(sentinels, async (candidate) => {
        await candidate.subscribe('+switch-master', (message) => {
          if (message.toString().startsWith(`${sentinels.masterName} `)) another();
        });
        return candidate;
      });
      scope.own({ close: () => sentinel.close(DONE) });
      const { host, port } = await findMaster(sentinels); // it may have changed before somebody listened
      if (host !== master.host || port !== master.port) another();
      await sentinel.ended;
    } catch {
      // Sentinels that cannot be reached name no other master either.
    }
    await scope.sleep(LOOK_AGAIN_MS);
  }
}

/** What the first sentinel gives with which `use` succeeds; those that come later are closed. */
async function firstOf<T>({ addresses, dial }: Sentinels, use: (link: RedisLink) => Promise<T>): Promise<T> {
  let isFound = false;
  const answers = addresses.map(async (address) => {
    let link: RedisLink | undefined;
    try {
      link = await dial(address);
      if (isFound) throw DONE;
      const answer = await use(link);
      if (isFound) throw DONE;
      isFound = true;
      return answer;
    } catch (error) {
      link?.close(DONE);
      throw new RedisError(`sentinel ${address.host}:${address.port}: ${errorText(error)}`, { cause: error });
    }
  });
  try {
    return await Promise.any(answers);
  } catch (error) {
    const reasons = (error as AggregateError).errors.map(errorText);
    throw new RedisError(reasons.join('; '), { hint: 'check redis.sentinel.addresses and master_name' });
  }
}
