import type { OutgoingHttpHeaders } from 'node:http2';
import { StatusCode } from '../runtime/status_code.ts';
import type { GrpcStatus } from './status.ts';

/** Encoded. nginx takes 4 KiB of headers from gRPC servers, GitLab's gRPC library 8. */
const MAX_MESSAGE = 3072;
const CUT = '...';
/** In base64; agents' own words, which are not needed to understand the status. */
const MAX_DETAILS = 4096;

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
    const details = Buffer.from(status.details).toString('base64').replace(/=+$/, '');
    if (details.length <= MAX_DETAILS) trailers['grpc-status-details-bin'] = details;
  }
  return trailers;
}

/**
 * Percent-encodes what is no printable ASCII, and `%` itself, byte by byte of the UTF-8 form. A text that is too long for a header
 * is cut: the header would not be sent, or not be taken, and the whole connection would end with it.
 */
export function encodeGrpcMessage(message: string): string {
  if (message.length <= MAX_MESSAGE && !/[^ -$&-~]/.test(message)) return message;
  let encoded = '';
  for (const char of message) {
    const next = /[ -$&-~]/.test(char) ? char : percentEncoded(char);
    if (encoded.length + next.length > MAX_MESSAGE - CUT.length) return encoded + CUT;
    encoded += next;
  }
  return encoded;
}

function percentEncoded(char: string): string {
  let encoded = '';
  for (const byte of Buffer.from(char)) encoded += `%${byte.toString(16).toUpperCase().padStart(2, '0')}`;
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

/** Eight digits and a unit. */
const MAX_TIMEOUT = 9;
const TIMEOUT_UNITS_MS: Record<string, number> = { H: 3_600_000, M: 60_000, S: 1000, m: 1, u: 1e-3, n: 1e-6 };

/** `grpc-timeout` in milliseconds; undefined if there is none or it is malformed (which `malformedTimeout` tells). */
export function parseGrpcTimeout(value: string | undefined): number | undefined {
  const parts = value === undefined ? null : /^(\d{1,8})([HMSmun])$/.exec(value);
  return parts === null ? undefined : Number(parts[1]) * TIMEOUT_UNITS_MS[parts[2]!]!;
}

/** How a call is refused whose `grpc-timeout` is none, in the words of gRPC servers in Go; undefined if it is one. */
export function malformedTimeout(value: string): GrpcStatus | undefined {
  if (parseGrpcTimeout(value) !== undefined) return undefined;
  return { code: StatusCode.Internal, message: `malformed grpc-timeout: ${whatIsWrong(value)}` };
}

function whatIsWrong(value: string): string {
  const shown = JSON.stringify(value);
  if (value.length < 2) return `transport: timeout string is too short: ${shown}`;
  if (value.length > MAX_TIMEOUT) return `transport: timeout string is too long: ${shown}`;
  if (!Object.hasOwn(TIMEOUT_UNITS_MS, value.at(-1)!)) return `transport: timeout unit is not recognized: ${shown}`;
  return `strconv.ParseInt: parsing ${JSON.stringify(value.slice(0, -1))}: invalid syntax`;
}
