/** What is wrong when a connection cannot be made, as far as a code of Node's or OpenSSL's tells. */
export type ConnectFailure = 'untrusted' | 'expired' | 'not yet valid' | 'other name' | 'not tls' | 'unreachable';

const KINDS: Readonly<Record<string, ConnectFailure>> = {
  UNABLE_TO_VERIFY_LEAF_SIGNATURE: 'untrusted',
  SELF_SIGNED_CERT_IN_CHAIN: 'untrusted',
  DEPTH_ZERO_SELF_SIGNED_CERT: 'untrusted',
  UNABLE_TO_GET_ISSUER_CERT: 'untrusted',
  UNABLE_TO_GET_ISSUER_CERT_LOCALLY: 'untrusted',
  CERT_HAS_EXPIRED: 'expired',
  CERT_NOT_YET_VALID: 'not yet valid',
  ERR_TLS_CERT_ALTNAME_INVALID: 'other name',
  EPROTO: 'not tls',
  ECONNREFUSED: 'unreachable',
  ENOTFOUND: 'unreachable',
  EAI_AGAIN: 'unreachable',
  EHOSTUNREACH: 'unreachable',
  ENETUNREACH: 'unreachable',
  ETIMEDOUT: 'unreachable',
};

/** Undefined: something else. */
export function connectFailure(cause: unknown): ConnectFailure | undefined {
  const code = (cause as NodeJS.ErrnoException | undefined)?.code;
  if (typeof code !== 'string') return undefined;
  return KINDS[code] ?? (code.startsWith('ERR_SSL_') ? 'not tls' : undefined);
}

/** The text of `cause`; a name with several addresses fails with one error for each and no text of its own. */
export function connectFailureText(cause: unknown): string {
  if (cause instanceof AggregateError && cause.message === '') return cause.errors.map(connectFailureText).join(', ');
  const { reason, code } = (cause ?? {}) as { reason?: unknown; code?: unknown };
  // Of OpenSSL's own texts most is for its authors.
  if (typeof reason === 'string' && String(code).startsWith('ERR_SSL_')) return `TLS handshake failed: ${reason}`;
  // OpenSSL's texts span lines and name its source files.
  const text = cause instanceof Error ? cause.message : String(cause);
  // Node's advice is for its own command line.
  return text
    .replace(/; if the root CA is installed locally, try running Node\.js with --use-system-ca$/, '')
    .trim()
    .replaceAll(/\s*\n\s*/g, ' ');
}
