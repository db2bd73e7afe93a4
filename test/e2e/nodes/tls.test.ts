// TLS between nodes, with a CA of their own; and what the log says when two nodes do not have the same idea of it.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { connect } from 'node:tls';
import { startBackend } from '../../support/backend.ts';
import { freePort } from '../../support/endpoint.ts';
import { startFaultProxy } from '../../support/fault_proxy.ts';
import { root } from '../../support/launch.ts';
import { type NodeOptions, type Nodes, startNodes } from '../../support/nodes.ts';
import { noRedis, startRedis } from '../../support/redis.ts';
import type { LogLine, RunningServer } from '../../support/server.ts';
import { makeTls } from '../../support/tls.ts';

const page = readFileSync(join(root, 'docs', 'multi-node.md'), 'utf8');

interface Files {
  readonly certificate_file: string;
  readonly key_file: string;
  readonly ca_certificate_file: string;
}

/** A certificate for localhost that is its own CA. */
function certificate(t: TestContext): Files {
  const folder = mkdtempSync(join(tmpdir(), 'kas-nodes-tls-'));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  const tls = makeTls();
  const write = (name: string, content: string) => {
    writeFileSync(join(folder, name), content, { mode: 0o600 });
    return join(folder, name);
  };
  return {
    certificate_file: write('node.crt', tls.cert),
    key_file: write('node.key', tls.key),
    ca_certificate_file: write('ca.crt', tls.ca),
  };
}

const SECURE = { OWN_PRIVATE_API_HOST: 'localhost', OWN_PRIVATE_API_SCHEME: 'grpcs' };

/** Of the first node's private API, with what the second has of its own. */
async function twoNodes(t: TestContext, first: NodeOptions, second: NodeOptions): Promise<Nodes> {
  const nodes = await startNodes({
    nodes: [first, second],
    redis: await startRedis(t),
    backend: await startBackend({ paths: { '/hello': (_, response) => response.end('hello\n') } }),
  });
  t.after(() => nodes.stop());
  await nodes.connectAgent(1, 0);
  return nodes;
}

/** The certificate that whoever connects to the port gets to see, by its fingerprint. */
async function shownBy(port: number): Promise<string> {
  const socket = connect({ port, host: '127.0.0.1', rejectUnauthorized: false, ALPNProtocols: ['h2'] });
  await once(socket, 'secureConnect');
  const { fingerprint256 } = socket.getPeerCertificate();
  socket.destroy();
  return fingerprint256;
}

const withTls = (files: Partial<Files>, env: Readonly<Record<string, string>> = SECURE): NodeOptions => ({
  config: { private_api: { listen: { ...files } } },
  env,
});

/** Asks the second node in vain, until it has logged a line like this. */
async function failsToDial(nodes: Nodes): Promise<LogLine> {
  const leaving = new AbortController();
  const asking = nodes.ask(1, { path: '/hello', signal: leaving.signal }).then(
    ({ status }) => assert.fail(`served: ${status}`),
    () => undefined,
  );
  const line = await (nodes.servers[1] as RunningServer).waitForLog(
    'of the failure',
    ({ msg }) => msg === 'Failed to dial kas',
  );
  leaving.abort();
  await asking;
  assert.equal(line.level, 'error');
  assert.ok(page.includes(`| ${line.hint} |`), `docs/multi-node.md does not have the hint ${line.hint}`);
  return line;
}

test('two nodes with TLS and a CA of their own', { skip: noRedis }, async (t) => {
  const own = certificate(t);
  const nodes = await twoNodes(t, withTls(own), withTls(own));
  await nodes.connectAgent(2, 1);
  for (const node of [0, 1]) {
    for (const id of [1, 2]) {
      const { status, text } = await nodes.ask(node, { path: '/hello', token: `pat:${id}:alice-pat` });
      assert.deepEqual([node, id, status, text], [node, id, 200, 'hello\n']);
    }
    const own = nodes.servers[node]?.log.find(({ msg }) => msg === 'Using own private API URL');
    assert.match(String(own?.url), /^grpcs:\/\/127\.0\.0\.1:\d+$/);
  }
});

test('certificate, key and CA that are replaced are used from the next connection between nodes on, a broken CA file is not', {
  skip: noRedis,
  timeout: 90_000,
}, async (t) => {
  const own = certificate(t);
  const port = await freePort();
  const viaNetwork = { ...SECURE, OWN_PRIVATE_API_URL: `grpcs://127.0.0.1:${port}` };
  const nodes = await twoNodes(t, withTls(own, { ...viaNetwork }), withTls(own));
  const [first, second] = nodes.servers;
  assert.ok(first && second);
  const network = await startFaultProxy(first.endpoints.privateApi, port);
  t.after(() => network.close());
  const askSecond = async () => (await nodes.ask(1, { path: '/hello' })).text;
  assert.equal(await askSecond(), 'hello\n');
  const before = await shownBy(port);

  writeFileSync(own.ca_certificate_file, 'no certificate\n');
  network.cut();
  assert.equal(await askSecond(), 'hello\n');
  await second.waitForLog('of the broken CA file', ({ msg }) =>
    msg.startsWith('CA certificates of other nodes not reloaded'),
  );

  const renewed = makeTls();
  writeFileSync(own.certificate_file, renewed.cert);
  writeFileSync(own.key_file, renewed.key);
  writeFileSync(own.ca_certificate_file, renewed.ca);
  for (const node of [first, second]) {
    await node.waitForLog('of the new certificate', ({ msg }) => msg === 'TLS certificate reloaded', 25_000);
  }
  assert.equal(await askSecond(), 'hello\n', 'the connection between the nodes keeps its certificate');
  network.cut();
  assert.equal(await askSecond(), 'hello\n');
  assert.notEqual(await shownBy(port), before);
});

test('a CA file that is broken when it is needed first is told of, and used when it has been repaired', {
  skip: noRedis,
}, async (t) => {
  const [own, seconds] = [certificate(t), certificate(t)];
  const nodes = await twoNodes(t, withTls(own), withTls({ ...own, ca_certificate_file: seconds.ca_certificate_file }));
  writeFileSync(seconds.ca_certificate_file, 'no certificate\n');
  const line = await failsToDial(nodes);
  assert.equal(line.error, `CA certificate file ${seconds.ca_certificate_file}: no PEM certificate in it`);
  writeFileSync(seconds.ca_certificate_file, readFileSync(own.ca_certificate_file));
  assert.equal((await nodes.ask(1, { path: '/hello' })).text, 'hello\n');
});

test('a node that does not know the CA of the other says so', { skip: noRedis }, async (t) => {
  const nodes = await twoNodes(t, withTls(certificate(t)), withTls(certificate(t)));
  const line = await failsToDial(nodes);
  assert.match(String(line.error), /self-signed certificate/);
  assert.match(String(line.hint), /private_api\.listen\.ca_certificate_file/);
});

test('a certificate for another name than OWN_PRIVATE_API_HOST: both names are told', { skip: noRedis }, async (t) => {
  const own = certificate(t);
  const nodes = await twoNodes(t, withTls(own), withTls(own, { ...SECURE, OWN_PRIVATE_API_HOST: 'kas.example.com' }));
  const line = await failsToDial(nodes);
  assert.match(String(line.error), /kas\.example\.com.*localhost/);
  assert.match(String(line.hint), /OWN_PRIVATE_API_HOST/);
});

test('a node with TLS whose URL says grpc: told at its start, and by who calls it', { skip: noRedis }, async (t) => {
  const own = certificate(t);
  const nodes = await twoNodes(t, withTls(own, { OWN_PRIVATE_API_HOST: 'localhost' }), {});
  const line = await failsToDial(nodes);
  assert.match(String(line.kas_url), /^grpc:/);
  assert.match(String(line.hint), /OWN_PRIVATE_API_SCHEME/);
  const [first] = nodes.servers;
  assert.ok(first);
  const warned = first.log.find(
    ({ msg }) => msg.startsWith('Configuration: ') && msg.includes('OWN_PRIVATE_API_SCHEME'),
  );
  assert.equal(warned?.level, 'warn');
  await first.waitForLog(
    'of the call without TLS',
    ({ msg, error }) => msg === 'TLS handshake failed' && /speaks without TLS/.test(String(error)),
  );
});

test('a node without TLS whose URL says grpcs: told at its start, and by who calls it', {
  skip: noRedis,
}, async (t) => {
  const nodes = await twoNodes(t, { env: SECURE }, withTls(certificate(t)));
  const line = await failsToDial(nodes);
  assert.match(String(line.kas_url), /^grpcs:/);
  assert.match(String(line.error), /wrong version number/);
  assert.match(String(line.hint), /OWN_PRIVATE_API_SCHEME/);
  const warned = nodes.servers[0]?.log.find(({ msg }) => msg.startsWith('Configuration: ') && msg.includes('grpcs'));
  assert.equal(warned?.level, 'warn');
});
