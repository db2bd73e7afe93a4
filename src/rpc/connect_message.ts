import { Code, ConnectError } from '@connectrpc/connect';
import type { MessageLimit } from '../grpc/message_reader.ts';
import { gunzip } from '../runtime/gunzip.ts';

/** How the one message comes that is the body of a unary request of Connect. */
export interface ConnectMessageOptions {
  readonly limit: MessageLimit;
  readonly compressed: boolean;
  /** What `content-length` says. */
  readonly announced: number | undefined;
}

/**
 * That body for the library, which gets it not compressed: what is too large is refused and counted here, as in the other protocols, and before it is
 * read where its length was announced.
 */
export async function* connectMessage(
  source: AsyncIterable<Uint8Array>,
  { limit, compressed, announced = 0 }: ConnectMessageOptions,
): AsyncGenerator<Uint8Array> {
  const refuseBeyond = (bytes: number) => {
    if (bytes <= limit.maxBytes) return;
    limit.exceeded();
    throw new ConnectError(`message size ${bytes} is larger than ${limit.maxBytes}`, Code.ResourceExhausted);
  };
  refuseBeyond(announced);
  const chunks: Uint8Array[] = [];
  let bytes = 0;
  for await (const chunk of source) {
    bytes += chunk.length;
    refuseBeyond(bytes);
    chunks.push(chunk);
  }
  const body = Buffer.concat(chunks, bytes);
  if (!compressed || bytes === 0) {
    yield body;
    return;
  }
  const inflated = gunzip(body, limit.maxBytes);
  if (inflated === 'too large') refuseBeyond(limit.maxBytes + 1);
  else if (typeof inflated === 'string') {
    throw new ConnectError(`the message cannot be decompressed: ${inflated}`, Code.InvalidArgument);
  } else yield inflated;
}
