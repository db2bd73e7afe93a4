/** The protocols that share a port, told apart by the request's content type. */
export type Protocol = 'grpc' | 'grpc-web' | 'connect' | 'connect-stream';

/** Undefined: none of them. */
export function protocolOf(contentType: string): Protocol | undefined {
  if (/^application\/grpc($|[+;])/i.test(contentType)) return 'grpc';
  if (/^application\/grpc-web($|[+;])/i.test(contentType)) return 'grpc-web';
  if (/^application\/connect\+(proto|json)($|;)/i.test(contentType)) return 'connect-stream';
  if (/^application\/(proto|json)($|;)/i.test(contentType)) return 'connect';
  return undefined;
}
