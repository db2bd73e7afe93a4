import { type ConnectFailure, connectFailure, connectFailureText } from '../net/connect_failure.ts';
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

const HINTS: Readonly<Record<ConnectFailure, string>> = {
  untrusted:
    "GitLab's certificate is signed by nobody trusted here: name its CA in gitlab.ca_certificate_file, or add it to a directory in SSL_CERT_DIR",
  expired: "GitLab's certificate has to be renewed, or the clock of this machine is wrong",
  'not yet valid': 'the clock of this machine is wrong, or that of whoever made the certificate',
  'other name': "gitlab.address must use a name that stands in GitLab's certificate",
  'not tls': 'does gitlab.address have the right scheme (http or https)?',
  unreachable: 'is gitlab.address right, and does GitLab listen there?',
};
const OF_CERTIFICATES: ReadonlySet<ConnectFailure | undefined> = new Set([
  'untrusted',
  'expired',
  'not yet valid',
  'other name',
] as const);

/**
 * @param what the request, e.g. `GET https://gitlab.example/api/v4/job/allowed_agents`
 * @param shown what the certificates say that were refused
 */
export function transportError(what: string, cause: unknown, shown = ''): TransportError {
  const failure = connectFailure(cause);
  const certificate = shown === '' ? '' : `; ${shown}`;
  return new TransportError(`${what}: ${connectFailureText(cause)}${certificate}`, {
    ...(failure !== undefined && { hint: HINTS[failure] }),
    cause,
    retryable: !isCertificateError(cause),
  });
}

/** Whether it is the server's certificate that was refused. */
export function isCertificateError(cause: unknown): boolean {
  return OF_CERTIFICATES.has(connectFailure(cause));
}
