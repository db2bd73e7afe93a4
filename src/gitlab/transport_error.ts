import { AppError } from '../runtime/app_error.ts';
import { StatusCode } from '../runtime/status_code.ts';

/** GitLab could not be reached, or broke off before its answer began. */
export class TransportError extends AppError {
  /** False if trying again cannot help. */
  readonly retryable: boolean;

  constructor(
    message: string,
    more: { readonly hint?: string; readonly cause?: unknown; readonly retryable: boolean },
  ) {
    super(StatusCode.Unavailable, message, more);
    this.name = 'TransportError';
    this.retryable = more.retryable;
  }
}

const UNTRUSTED = new Set([
  'UNABLE_TO_VERIFY_LEAF_SIGNATURE',
  'SELF_SIGNED_CERT_IN_CHAIN',
  'DEPTH_ZERO_SELF_SIGNED_CERT',
  'UNABLE_TO_GET_ISSUER_CERT',
  'UNABLE_TO_GET_ISSUER_CERT_LOCALLY',
]);
const OTHERWISE_BAD = new Set(['CERT_HAS_EXPIRED', 'CERT_NOT_YET_VALID', 'ERR_TLS_CERT_ALTNAME_INVALID']);
const UNREACHABLE = new Set(['ECONNREFUSED', 'ENOTFOUND', 'EAI_AGAIN', 'EHOSTUNREACH', 'ENETUNREACH', 'ETIMEDOUT']);

/**
 * @param what the request, e.g. `GET https://gitlab.example/api/v4/job/allowed_agents`
 * @param shown what the certificates say that were refused
 */
export function transportError(what: string, cause: unknown, shown = ''): TransportError {
  const code = codeOf(cause);
  const hint = hintFor(code, UNTRUSTED.has(code));
  const certificate = shown === '' ? '' : `; ${shown}`;
  return new TransportError(`${what}: ${causeText(cause)}${certificate}`, {
    ...(hint !== undefined && { hint }),
    cause,
    retryable: !isCertificateError(cause),
  });
}

/** Whether it is the server's certificate that was refused. */
export function isCertificateError(cause: unknown): boolean {
  const code = codeOf(cause);
  return UNTRUSTED.has(code) || OTHERWISE_BAD.has(code);
}

function hintFor(code: string, untrusted: boolean): string | undefined {
  if (untrusted) {
    return "GitLab's certificate is signed by nobody trusted here: name its CA in gitlab.ca_certificate_file, or add it to a directory in SSL_CERT_DIR";
  }
  if (code === 'CERT_HAS_EXPIRED')
    return "GitLab's certificate has to be renewed, or the clock of this machine is wrong";
  if (code === 'CERT_NOT_YET_VALID')
    return 'the clock of this machine is wrong, or that of whoever made the certificate';
  if (code === 'ERR_TLS_CERT_ALTNAME_INVALID')
    return "gitlab.address must use a name that stands in GitLab's certificate";
  if (code === 'EPROTO' || code.startsWith('ERR_SSL_'))
    return 'does gitlab.address have the right scheme (http or https)?';
  return UNREACHABLE.has(code) ? 'is gitlab.address right, and does GitLab listen there?' : undefined;
}

function codeOf(cause: unknown): string {
  const code = (cause as NodeJS.ErrnoException | undefined)?.code;
  return typeof code === 'string' ? code : '';
}

/** The text of `cause`; a name with several addresses fails with one error for each and no text of its own. */
function causeText(cause: unknown): string {
  if (cause instanceof AggregateError && cause.message === '') return cause.errors.map(causeText).join(', ');
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
