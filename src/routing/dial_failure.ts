import { ConnectionError } from '../http2/connection_error.ts';
import { type ConnectFailure, connectFailure, connectFailureText } from '../net/connect_failure.ts';
import type { PeerFailure } from '../observability/peer_metrics.ts';
import { type NodeEndpoint, UntrustingError } from './node_url.ts';

/** The reason when there is no error. */
export const HUNG_UP = 'the connection was closed before anything was said';

const CA = 'private_api.listen.ca_certificate_file';
const OTHER_HINTS: Readonly<Partial<Record<ConnectFailure, string>>> = {
  untrusted: `that node's certificate is signed by nobody trusted here: name its CA in ${CA}, or add it to a directory in SSL_CERT_DIR`,
  expired: "that node's certificate has to be renewed, or the clock of this machine is wrong",
  'not yet valid': 'the clock of this machine is wrong, or that of whoever made the certificate',
  'other name':
    "OWN_PRIVATE_API_HOST of this node must be a name that stands in the certificates of all nodes' private APIs",
};
const NO_TLS_HINT =
  'the URL says TLS, and that node speaks none: give its private_api.listen a certificate, or set its OWN_PRIVATE_API_SCHEME to grpc';
const TLS_HINT =
  'what listens there does not speak HTTP/2 without TLS: if its private_api.listen has a certificate, set its OWN_PRIVATE_API_SCHEME to grpcs';
const CA_HINT = `repair ${CA}: it is looked at again`;
const UP_HINT =
  "is that node up, and is this the address at which this node reaches it? It is that node's OWN_PRIVATE_API_URL, OWN_PRIVATE_API_CIDR or private_api.listen.address";

const KINDS: Readonly<Record<ConnectFailure, PeerFailure>> = {
  untrusted: 'untrusted',
  expired: 'expired',
  'not yet valid': 'not_yet_valid',
  'other name': 'other_name',
  'not tls': 'not_tls',
  unreachable: 'unreachable',
};
const RESET = new Set(['ECONNRESET', 'EPIPE']);

/** What a failure counts as. Words are of a node that says nothing, those apart that something says too little. */
export function failureKind(cause: unknown): PeerFailure {
  if (cause === HUNG_UP || cause instanceof ConnectionError) return 'protocol';
  if (typeof cause === 'string') return 'no_answer';
  if (cause instanceof UntrustingError) return 'own_ca';
  const failure = connectFailure(cause);
  if (failure !== undefined) return KINDS[failure];
  const code = String((cause as NodeJS.ErrnoException | undefined)?.code);
  if (RESET.has(code)) return 'reset';
  return code === 'ENOENT' ? 'unreachable' : 'other'; // of a socket's file
}

/** What the log says of a node that cannot be reached. */
export function dialFailure(
  kind: NodeEndpoint['kind'],
  cause: unknown,
): { readonly error: string; readonly hint: string } {
  const failure = connectFailure(cause);
  return { error: connectFailureText(cause), hint: hintFor(kind, failure, cause) };
}

function hintFor(kind: NodeEndpoint['kind'], failure: ConnectFailure | undefined, cause: unknown): string {
  if (cause instanceof UntrustingError) return CA_HINT;
  if (failure === 'not tls') return NO_TLS_HINT;
  // What TLS answers to a client without it is no frame of HTTP/2, if it is anything.
  const noNode = cause === HUNG_UP || cause instanceof ConnectionError;
  if (kind === 'tcp' && noNode) return TLS_HINT;
  return (failure && OTHER_HINTS[failure]) ?? UP_HINT;
}
