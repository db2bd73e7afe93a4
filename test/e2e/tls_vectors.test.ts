// The handshakes that were recorded from upstream (test/vectors/observability/tls.json), with the executable.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { after, before, describe, test } from 'node:test';
import { connect, type TLSSocket } from 'node:tls';
import type { Endpoint } from '../support/endpoint.ts';
import { type FakeGitLab, startGitLab } from '../support/gitlab/gitlab.ts';
import { rawExchange } from '../support/http1.ts';
import { type RunningServer, startServer } from '../support/server.ts';
import { makeTls } from '../support/tls.ts';

interface Case {
  readonly listener: 'agent' | 'internal API' | 'Kubernetes API proxy';
  readonly client_alpn?: readonly string[] | null;
  readonly version?: string;
  readonly max_version?: string;
  readonly ciphers?: string;
  readonly client?: string;
  readonly result: string;
}

const { cases }: { cases: Case[] } = JSON.parse(
  readFileSync(new URL('../vectors/observability/tls.json', import.meta.url), 'utf8'),
);

/** These two have HTTP/2 and HTTP/1.1 here, both through ALPN: the one for curl, the other for kubectl. */
const better: Readonly<Record<string, string>> = {
  'internal API http/1.1': 'ALPN http/1.1',
  'Kubernetes API proxy h2': 'ALPN h2',
};

const alerts: Readonly<Record<string, RegExp>> = {
  '120 no_application_protocol': /NO_APPLICATION_PROTOCOL/,
  '70 protocol_version': /PROTOCOL_VERSION/,
  '40 handshake_failure': /HANDSHAKE_FAILURE/,
};

function handshake(endpoint: Endpoint, ca: string, one: Case): Promise<TLSSocket> {
  const old = one.max_version === 'TLS 1.1';
  const named = one.ciphers !== undefined && /^[A-Z0-9-]+$/.test(one.ciphers);
  const socket = connect({
    host: endpoint.host,
    port: endpoint.port,
    ca,
    servername: 'localhost',
    ...(one.client_alpn && { ALPNProtocols: [...one.client_alpn] }),
    ...(one.version === 'TLS 1.2' && { maxVersion: 'TLSv1.2' as const }),
    ...(old && { minVersion: 'TLSv1.1' as const, maxVersion: 'TLSv1.1' as const, ciphers: 'ALL:@SECLEVEL=0' }),
    ...(named && { ciphers: one.ciphers }),
  });
  return new Promise((resolve, reject) => {
    socket.once('secureConnect', () => resolve(socket)).once('error', reject);
  });
}

async function check(server: RunningServer, ca: string, one: Case): Promise<void> {
  const { agent, api, kubernetesApi } = server.endpoints;
  const endpoint = { agent, 'internal API': api, 'Kubernetes API proxy': kubernetesApi }[one.listener];
  if (one.client !== undefined) {
    const answer = await rawExchange({ ...endpoint, ca: undefined }, 'GET / HTTP/1.1\r\nHost: k\r\n\r\n');
    assert.equal(answer, one.result);
    return;
  }
  const result = better[`${one.listener} ${one.client_alpn?.join() ?? ''}`] ?? one.result;
  const alert = /^alert (.*)$/.exec(result)?.[1];
  if (alert !== undefined) {
    await assert.rejects(handshake(endpoint, ca, one), { code: alerts[alert] ?? assert.fail(alert) });
    return;
  }
  const socket = await handshake(endpoint, ca, one);
  const alpn = /^ALPN (.*)$/.exec(result)?.[1];
  if (alpn !== undefined) assert.equal(socket.alpnProtocol, alpn);
  else if (/^ECDHE/.test(result)) assert.equal(socket.getCipher().name, result);
  // Node knows no handshake that goes on without a name if one was offered: the client's own is repeated.
  else if (one.client_alpn == null) assert.equal(socket.alpnProtocol, false);
  if (/^ECDHE/.test(one.ciphers ?? '')) assert.equal(socket.getCipher().name, `${one.ciphers}`);
  socket.destroy();
}

describe('recorded TLS handshakes', () => {
  const tls = makeTls('rsa');
  let gitlab: FakeGitLab;
  let server: RunningServer;
  before(async () => {
    gitlab = await startGitLab();
    const certificate = { certificate_file: 'server.crt', key_file: 'server.key' };
    server = await startServer({ tls, gitlab, config: { api: { listen: certificate } } });
  });
  after(async () => {
    await server.stop();
    await gitlab.close();
  });

  for (const one of cases) {
    const name = Object.values({ ...one, result: undefined }).filter((part) => part != null);
    test(name.join(', '), () => check(server, tls.ca, one));
  }
});
