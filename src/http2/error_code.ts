/** Why a stream or a connection ends (RFC 9113, 7). */
export const ErrorCode = {
  NoError: 0,
  ProtocolError: 1,
  InternalError: 2,
  FlowControlError: 3,
  SettingsTimeout: 4,
  StreamClosed: 5,
  FrameSizeError: 6,
  RefusedStream: 7,
  Cancel: 8,
  CompressionError: 9,
  ConnectError: 10,
  EnhanceYourCalm: 11,
} as const;

const NAMES = new Map<number, string>(Object.entries(ErrorCode).map(([name, code]) => [code, constantCase(name)]));

/** As the RFC spells it: `REFUSED_STREAM`. */
export function errorCodeName(code: number): string {
  return NAMES.get(code) ?? String(code);
}

function constantCase(name: string): string {
  return name.replaceAll(/(?!^)([A-Z])/g, '_$1').toUpperCase();
}
