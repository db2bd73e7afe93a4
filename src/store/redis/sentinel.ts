import { errorText } from '../../runtime/app_error.ts';
import type { RedisAddress, RedisLink } from './link.ts';
import { RedisError } from './redis_error.ts';
import { asArray } from './reply.ts';

type HostPort = { readonly host: string; readonly port: number };

/**
 * Asks the sentinels which server is the master. All at once, because the machine that has just died may well have had one
 * of them; the first to know counts.
 * @throws RedisError that says of each sentinel why it was no help
 */
export async function findMaster(options: {
  readonly masterName: string;
  readonly addresses: readonly HostPort[];
  readonly dial: (address: RedisAddress) => Promise<RedisLink>;
}): Promise<RedisAddress> {
  const { masterName, addresses, dial } = options;
  const ask = async (address: HostPort): Promise<RedisAddress> => {
    const link = await dial(address);
    try {
      const reply = await link.send(['SENTINEL', 'get-master-addr-by-name', masterName]);
      if (reply === null) throw new RedisError(`knows no master ${JSON.stringify(masterName)}`);
      const [host, port] = asArray(reply).map(String);
      return { host: host ?? '', port: Number(port) };
    } finally {
      link.close(new RedisError('asked what was to be asked'));
    }
  };
  const answers = addresses.map(async (address) => {
    try {
      return await ask(address);
    } catch (error) {
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
