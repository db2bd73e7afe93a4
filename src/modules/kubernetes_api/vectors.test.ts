// Recorded traffic of the proxy, as far as policy goes: what goes to the agent, what the client gets.
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { test } from 'node:test';
import { ScriptedUsers } from '../../../test/support/scripted_users.ts';
import { silentLog } from '../../../test/support/silent_log.ts';
import { FakeClock } from '../../runtime/fake_clock.ts';
import { type Prepared, type ProxyRequest, RequestPreparer } from './proxy_request.ts';
import { ResponseHeaderFilter } from './response_headers.ts';
import type { Answer } from './status_response.ts';

type Pairs = [string, string][];

interface HttpCase {
  name: string;
  request: string | { starts: string };
  response: { status_line: string; headers: Pairs; body?: string; body_hex?: string };
  kube_received?: { request_line: string; headers: Pairs }[];
  tunnel?: { events: TunnelEvent[] }[];
}

interface TunnelEvent {
  from: 'client' | 'server';
  message?: { hex?: string; decoded: { message?: { data: { decoded: { header?: TunnelHeader } } } } };
}

interface TunnelHeader {
  request?: { method: string; header: Record<string, string[]>; url_path: string; query?: Record<string, string[]> };
  response?: { status_code: number; header: Record<string, string[]> };
  extra?: unknown;
  content_length?: number;
}

const SERVER = 'gitlab-kas/v0.0.0/00000000';
const vectors = new URL('../../../test/vectors/', import.meta.url);

/** Requests that Node's HTTP parser refuses, or never shows us. */
const PARSER = new Set([
  'hdr-transfer-encoding-gzip',
  'hdr-folded',
  'hdr-too-long-1100000',
  'hdr-no-host-http11',
  'hdr-invalid-name',
  'hdr-space-before-colon',
  'hdr-two-content-lengths',
  'garbage-request',
  'h2-preface',
]);
/** Where we do better than what was recorded: see the tests of their own. */
const BETTER = new Set(['cred-cookie-two-first-wins']);

for (const file of readdirSync(new URL('k8s-proxy/', vectors))) {
  const { cases } = read<{ cases: HttpCase[] }>(`k8s-proxy/${file}`);
  for (const recorded of cases) {
    if (PARSER.has(recorded.name) || BETTER.has(recorded.name)) continue;
    test(`k8s-proxy/${file}: ${recorded.name}`, async () => {
      const result = await preparer().prepare(requestOf(recorded));
      const received = recorded.kube_received?.[0];
      if (received !== undefined) {
        assert.equal(result.kind, 'prepared');
        assert.deepEqual(asAgentSends(result as Prepared), withoutAgents(received));
      } else if (recorded.name.startsWith('no-tunnel')) {
        const status = 'rpc error: code = DeadlineExceeded desc = ';
        const text = 'Agent connection not found. Is agent up to date and connected?';
        const asking = requestOf(recorded);
        const step = 'failed to read gRPC response';
        const answer = preparer().failure(result as Prepared, asking, 502, step, `${status}${text}`);
        assertAnswer(answer, recorded);
      } else {
        assertAnswer(result, recorded);
      }
    });
  }
}

for (const file of readdirSync(new URL('tunnel/', vectors))) {
  const recorded = read<HttpCase>(`tunnel/${file}`);
  test(`tunnel/${file}`, async () => {
    const result = await preparer().prepare(requestOf(recorded));
    assert.equal(result.kind, 'prepared');
    const prepared = result as Prepared;
    const sent = headerOf(recorded, 'server');
    assert.ok(sent?.header.request);
    assert.equal(prepared.head.method, sent.header.request.method);
    assert.equal(prepared.head.path, sent.header.request.url_path);
    assert.deepEqual(asMap(prepared.head.headers), sent.header.request.header);
    assert.deepEqual(asMap(prepared.head.query), sent.header.request.query ?? {});
    assert.equal(prepared.head.contentLength, sent.header.content_length);
    assert.equal(prepared.head.extra === undefined, sent.header.extra === undefined);
    if (prepared.head.extra !== undefined) {
      // An Any with no map in it: the recorded bytes are the only right ones.
      assert.ok(sent.hex.includes(Buffer.from(prepared.head.extra).toString('hex')));
    }
    const got = headerOf(recorded, 'client');
    if (got?.header.response === undefined) return;
    const filter = new ResponseHeaderFilter({ via: `gRPC/1.0 ${SERVER}`, extraAllowed: [], log: silentLog });
    const { status_code: status, header } = got.header.response;
    const { headers } = filter.apply(status, Object.entries(header), prepared.rules);
    assert.equal(Number(recorded.response.status_line.split(' ')[1]), status);
    const expected = recorded.response.headers.filter(isOurs);
    assert.deepEqual(sorted(pairsOf(headers).filter(isOurs)), sorted(expected.filter(isFirstVary)));
  });
}

function read<T>(path: string): T {
  return JSON.parse(readFileSync(new URL(path, vectors), 'utf8'));
}

function preparer(): RequestPreparer {
  return new RequestPreparer({
    config: { urlPathPrefix: '/k8s-proxy/', websocketTokenSecret: undefined },
    externalUrl: 'http://gitlab.example',
    serverName: SERVER,
    users: new ScriptedUsers(),
    clock: new FakeClock(),
    log: silentLog,
  });
}

/** The request as Node's parser hands it over. */
function requestOf({ request }: HttpCase): ProxyRequest {
  assert.ok(typeof request === 'string');
  const [line = '', ...lines] = request.slice(0, request.indexOf('\r\n\r\n')).split('\r\n');
  const [method = '', url = ''] = line.split(' ');
  const rawHeaders = lines.flatMap((header) => {
    const colon = header.indexOf(':');
    return [header.slice(0, colon), header.slice(colon + 1).trim()];
  });
  return { method, url, rawHeaders, signal: () => new AbortController().signal, correlationId: () => 'id-1' };
}

function assertAnswer(result: Prepared | Answer, { response }: HttpCase): void {
  assert.equal(result.kind, 'answer');
  const { status, headers, body } = result as Answer;
  assert.equal(status, Number(response.status_line.split(' ')[1]));
  if (response.body_hex !== undefined) assert.equal(body.toString('hex'), response.body_hex);
  // A HEAD's body is left out when the answer is written.
  else if (response.body !== '' || body.length === 0) assert.equal(body.toString(), response.body);
  const isCounted = ([name]: [string, string]) => name !== 'Date' && name !== 'X-Content-Type-Options';
  const expected = response.headers.filter(isCounted);
  // Go closes without a length after a malformed request; either is fine.
  const hasLength = expected.some(([name]) => name === 'Content-Length');
  const actual = pairsOf(headers).filter(isCounted);
  assert.deepEqual(sorted(actual.filter(([name]) => hasLength || name !== 'Content-Length')), sorted(expected));
}

/** The request line and headers that an agent makes of it, without its own. */
function asAgentSends({ head }: Prepared): unknown {
  const path = encodeURI(head.path).replace(/[#?!'()*[\]]/g, percentEncoded);
  const query = [...head.query]
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .flatMap(([name, values]) => values.map((value) => `${formEncoded(name)}=${formEncoded(value)}`))
    .join('&');
  const headers: Pairs = head.headers.flatMap(([name, values]) =>
    values.map((value): [string, string] => [name, value]),
  );
  return {
    line: `${head.method} ${path}${query && `?${query}`} HTTP/1.1`,
    headers: sorted(headers.filter(([name]) => name !== 'Content-Length')),
  };
}

function withoutAgents({ request_line: line, headers }: { request_line: string; headers: Pairs }): unknown {
  const added: Pairs = [
    ['Accept-Encoding', 'gzip'],
    ['User-Agent', 'Go-http-client/1.1'],
    ['Via', `gRPC/1.0 gitlab-agent/v0.0.0/00000000`],
    ['Transfer-Encoding', 'chunked'],
  ];
  const isAdded = ([name, value]: [string, string]) =>
    name === 'Host' || added.some(([n, v]) => n === name && v === value);
  return { line, headers: sorted(headers.filter((pair) => !isAdded(pair))) };
}

function percentEncoded(character: string): string {
  return `%${character.charCodeAt(0).toString(16).toUpperCase().padStart(2, '0')}`;
}

function formEncoded(text: string): string {
  return encodeURIComponent(text)
    .replace(/[!'()*]/g, percentEncoded)
    .replaceAll('%20', '+');
}

function headerOf(recorded: HttpCase, from: 'client' | 'server'): { header: TunnelHeader; hex: string } | undefined {
  for (const event of recorded.tunnel?.[0]?.events ?? []) {
    const header = event.message?.decoded.message?.data.decoded.header;
    if (event.from === from && header !== undefined) return { header, hex: event.message?.hex ?? '' };
  }
  return undefined;
}

/** Headers that the filter answers for; the others are Node's, or blocked since (hop-by-hop-response shows some). */
function isOurs([name]: [string, string]): boolean {
  const nodes = ['Date', 'Transfer-Encoding'];
  const blocked = ['Server', 'Set-Cookie', 'X-Lower-Case', 'Gitlab-Unauthorized', 'Access-Control-Expose-Headers'];
  return !nodes.includes(name) && !blocked.includes(name);
}

/** Upstream writes the values of `Vary` twice. */
function isFirstVary([name, value]: [string, string], index: number, pairs: Pairs): boolean {
  return name !== 'Vary' || pairs.findIndex(([n, v]) => n === name && v === value) === index;
}

function asMap(lists: readonly (readonly [string, readonly string[]])[]): Record<string, readonly string[]> {
  return Object.fromEntries(lists);
}

function pairsOf(flat: readonly string[]): Pairs {
  const pairs: Pairs = [];
  for (let i = 0; i < flat.length; i += 2) pairs.push([flat[i]!, flat[i + 1]!]);
  return pairs;
}

/** By name only: the order of one name's values counts. */
function sorted(pairs: Pairs): Pairs {
  return pairs.toSorted(([a], [b]) => (a === b ? 0 : a < b ? -1 : 1));
}
