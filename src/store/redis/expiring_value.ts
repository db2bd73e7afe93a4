import { create, fromBinary, toBinary } from '@bufbuild/protobuf';
import { ExpiringValueSchema } from '../../gen/gitlab/agent/redistool/redistool_pb.ts';

/** What stands in a field of a hash: fields of Redis do not expire by themselves. */
export interface ExpiringValue {
  /** Unix seconds; expired when this second is over. */
  readonly expiresAt: number;
  readonly value: Uint8Array;
}

const NOTHING = new Uint8Array();

export function encodeExpiring(expiresAt: number, value: Uint8Array = NOTHING): Buffer {
  const message = create(ExpiringValueSchema, { expiresAt: BigInt(expiresAt), value });
  return Buffer.from(toBinary(ExpiringValueSchema, message));
}

/** Undefined if the bytes are something else. */
export function decodeExpiring(bytes: Buffer): ExpiringValue | undefined {
  try {
    const { expiresAt, value } = fromBinary(ExpiringValueSchema, bytes);
    return { expiresAt: Number(expiresAt), value };
  } catch {
    return undefined;
  }
}
