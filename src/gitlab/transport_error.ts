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
const UNREACHABLE = new Set(['ECONNREFUSED', 'ENOTFOUND', 'EAI_AGAIN', 'EHOSTUNREACH', 'ENETUNREACH', 'ETIMEDOUT']);

/** @param what the request, e.g. `GET https://gitlab.example/api/v4/job/allowed_agents` */
export function transportError(what: string, cause: unknown): TransportError {
  const code = codeOf(cause);
  const untrusted = UNTRUSTED.has(code);
  const badCertificate = untrusted || code === 'CERT_HAS_EXPIRED' || code === 'ERR_TLS_CERT_ALTNAME_INVALID';
  const hint = hintFor(code, untrusted);
  return new TransportError(`${what}: ${causeText(cause)}`, {
    ...(hint !== undefined && { hint }),
    cause,
    retryable: !badCertificate,
  });
}

function hintFor(code: string, untrusted: boolean): string | undefined {
  if (untrusted) {
    return "GitLab's certificate is signed by nobody trusted here: name its CA in gitlab.ca_certificate_file, or add it to a directory in SSL_CERT_DIR";
  }
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
  // OpenSSL's texts span lines and name its source files.
  const text = cause instanceof Error ? cause.message : String(cause);
  return text.trim().replaceAll(/\s*\n\s*/g, ' ');
}
