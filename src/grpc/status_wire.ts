import type { OutgoingHttpHeaders } from 'node:http2';
import type { GrpcStatus } from './status.ts';

/**
 * The trailers that carry a status (docs/protocol/grpc.md, status). `grpc-message` is always there, empty for OK, because
 * that is what agents have always been sent.
 */
export function statusTrailers(status: GrpcStatus): OutgoingHttpHeaders {
  const trailers: OutgoingHttpHeaders = {
    'grpc-status': String(status.code),
    'grpc-message': encodeGrpcMessage(status.message),
  };
  if (status.details !== undefined) {
    trailers['grpc-status-details-bin'] = Buffer.from(status.details).toString('base64').replace(/=+$/, '');
  }
  return trailers;
}

/** Percent-encodes what is no printable ASCII, and `%` itself, byte by byte of the UTF-8 form. */
export function encodeGrpcMessage(message: string): string {
  if (!/[^ -$&-~]/.test(message)) return message;
  let encoded = '';
  for (const byte of Buffer.from(message)) {
    const plain = byte >= 0x20 && byte <= 0x7e && byte !== 0x25;
    encoded += plain ? String.fromCharCode(byte) : `%${byte.toString(16).toUpperCase().padStart(2, '0')}`;
  }
  return encoded;
}

/** The way back; what is no valid encoding stays as it came. */
export function decodeGrpcMessage(encoded: string): string {
  if (!encoded.includes('%')) return encoded;
  try {
    return decodeURIComponent(encoded);
  } catch {
    return encoded;
  }
}

const TIMEOUT_UNITS_MS: Record<string, number> = { H: 3_600_000, M: 60_000, S: 1000, m: 1, u: 1e-3, n: 1e-6 };

/** `grpc-timeout` in milliseconds; undefined if there is none or it is malformed (which counts as none). */
export function parseGrpcTimeout(value: string | undefined): number | undefined {
  const parts = value === undefined ? null : /^(\d{1,8})([HMSmun])$/.exec(value);
  return parts === null ? undefined : Number(parts[1]) * TIMEOUT_UNITS_MS[parts[2]!]!;
}
