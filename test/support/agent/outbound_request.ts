import { writeRequestHead } from './go_headers.ts';
import { encodePath, encodeQuery } from './go_url.ts';
import { addImpersonation, isSet, NESTED_IMPERSONATION, requestImpersonates } from './impersonation.ts';
import type { KubeClient } from './kube_client.ts';
import { type HttpRequestHeader, type ImpersonationConfig, readImpersonation } from './messages.ts';

const HEADER_EXTRA = 'type.googleapis.com/gitlab.agent.kubernetes_api.rpc.HeaderExtra';
/** Go waits a moment to see whether the body of such a request is empty before it announces one. */
const USUALLY_BODYLESS = new Set(['GET', 'HEAD', 'DELETE', 'OPTIONS', 'PROPFIND', 'SEARCH']);
/** Go announces an empty body for these only. */
const USUALLY_WITH_BODY = new Set(['POST', 'PUT', 'PATCH']);

/** What an HttpRequest.Header becomes on its way to the API server. */
export interface OutboundRequest {
  readonly method: string;
  readonly target: string;
  readonly upgrade: boolean;
  readonly hasBody: boolean;
  readonly usuallyBodyless: boolean;
  readonly expectsContinue: boolean;
  /** The agent asks for gzip on its own account, and so unpacks the answer. */
  readonly askForGzip: boolean;
  /** Request line and headers. @throws {Error} for names and values that HTTP does not allow */
  head(chunked: boolean): Buffer;
}

/** @throws {Error} with the text that agentk has for it when the request may not be made */
export function outboundRequest(header: HttpRequestHeader, kube: KubeClient, userAgent: string): OutboundRequest {
  const { header: headers, method } = header;
  const query = encodeQuery(header.query);
  const target = encodePath(header.urlPath) + (query === '' ? '' : `?${query}`);
  impersonate(header, kube.cluster.impersonate);
  const has = (name: string) => Boolean(headers.get(name)?.[0]);
  headers.set('Via', [...(headers.get('Via') ?? []), `gRPC/1.0 ${userAgent}`]);
  const authorization = kube.cluster.authorization?.();
  if (authorization !== undefined && !has('Authorization')) headers.set('Authorization', [authorization]);
  const upgrade = headers.has('Upgrade');
  const askForGzip = !upgrade && method !== 'HEAD' && !has('Accept-Encoding') && !has('Range');
  const head = (chunked: boolean) => {
    const framing = chunked ? 'chunked' : USUALLY_WITH_BODY.has(method) ? 'zero' : 'none';
    return writeRequestHead({ method, target, host: kube.url.host, headers, framing, askForGzip });
  };
  return {
    method,
    target,
    upgrade,
    hasBody: header.contentLength !== 0,
    usuallyBodyless: USUALLY_BODYLESS.has(method),
    expectsContinue: headers.get('Expect')?.[0]?.toLowerCase() === '100-continue',
    askForGzip,
    head,
  };
}

function impersonate(header: HttpRequestHeader, own: ImpersonationConfig | undefined): void {
  let fromKas: ImpersonationConfig | undefined;
  if (header.extra !== undefined) {
    if (header.extra.typeUrl !== HEADER_EXTRA) throw new Error(`unexpected extra type ${header.extra.typeUrl}`);
    fromKas = readImpersonation(header.extra.value);
  }
  const sources = [isSet(own), isSet(fromKas), requestImpersonates(header.header)];
  if (sources.filter(Boolean).length > 1) throw new Error(NESTED_IMPERSONATION);
  if (isSet(fromKas)) addImpersonation(header.header, fromKas);
  else if (isSet(own)) addImpersonation(header.header, own);
}
