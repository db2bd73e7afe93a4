import assert from 'node:assert/strict';
import { once } from 'node:events';
import { chmodSync, existsSync, statSync } from 'node:fs';
import { request } from 'node:http';
import { createServer } from 'node:net';
import { test } from 'node:test';
import type { Network } from '../../../src/config/config.ts';
import { AppError } from '../../../src/runtime/app_error.ts';
import { rawConnection, rawExchange } from '../../support/http1.ts';
import { answers, echoHandlers, open, portOf, temporaryFolder } from './setup.ts';

const handlers = { request: echoHandlers.request };
const listen = (network: Network, address: string) => ({ listen: { network, address, tls: undefined } });

async function refusal(promise: Promise<unknown>): Promise<AppError> {
  try {
    await promise;
  } catch (error) {
    assert.ok(error instanceof AppError, String(error));
    return error;
  }
  throw new Error('it was accepted');
}

const hasIpv6 = await new Promise<boolean>((resolve) => {
  const server = createServer();
  server.once('error', () => resolve(false));
  server.listen(0, '::1', () => server.close(() => resolve(true)));
});

test('localhost listens on both loopback addresses with one port', async (t) => {
  const { front } = await open(t, handlers, listen('tcp', 'localhost:0'));
  assert.match(front.address, /^127\.0\.0\.1:\d+$/);
  const port = portOf(front.address);
  assert.ok(await answers({ host: '127.0.0.1', port }));
  assert.equal(await answers({ host: '::1', port }), hasIpv6);
});

test('an empty host and a wildcard of tcp take both families', { skip: !hasIpv6 && 'no IPv6 here' }, async (t) => {
  for (const address of [':0', '0.0.0.0:0']) {
    const { front } = await open(t, handlers, listen('tcp', address));
    assert.match(front.address, /^\[::\]:\d+$/);
    const port = portOf(front.address);
    assert.ok((await answers({ host: '127.0.0.1', port })) && (await answers({ host: '::1', port })));
  }
});

test('tcp4 and tcp6 take one family', { skip: !hasIpv6 && 'no IPv6 here' }, async (t) => {
  const four = await open(t, handlers, listen('tcp4', ':0'));
  assert.match(four.front.address, /^0\.0\.0\.0:\d+$/);
  assert.ok(!(await answers({ host: '::1', port: portOf(four.front.address) })));
  const six = await open(t, handlers, listen('tcp6', ':0'));
  assert.ok(!(await answers({ host: '127.0.0.1', port: portOf(six.front.address) })));
  const error = await refusal(open(t, handlers, listen('tcp6', '127.0.0.1:0')));
  assert.equal(error.message, 'listen tcp6: address 127.0.0.1: no suitable address found');
});

test('a port in use, an address of others and a name of nobody are errors in words', async (t) => {
  const { front } = await open(t, handlers, listen('tcp', '127.0.0.1:0'));
  const taken = await refusal(open(t, handlers, listen('tcp', front.address)));
  assert.equal(taken.message, `listen tcp ${front.address}: bind: address already in use`);
  const bothTaken = await refusal(open(t, handlers, listen('tcp', `localhost:${portOf(front.address)}`)));
  assert.equal(bothTaken.message, `listen tcp ${front.address}: bind: address already in use`);
  const foreign = await refusal(open(t, handlers, listen('tcp', '192.0.2.1:0')));
  assert.equal(foreign.message, 'listen tcp 192.0.2.1:0: bind: cannot assign requested address');
  const nobody = await refusal(open(t, handlers, listen('tcp', 'nobody.invalid:0')));
  assert.equal(nobody.message, 'listen tcp: lookup nobody.invalid: no such host');
});

test('a UNIX socket is for its folder’s group, and gone at the end', async (t) => {
  const folder = temporaryFolder(t);
  const path = folder.path('kas.sock');
  const { front } = await open(t, handlers, listen('unix', path));
  assert.equal(front.address, path);
  assert.equal(statSync(path).mode & 0o777, 0o660);
  assert.equal(statSync(path).gid, statSync(folder.path('.')).gid);
  const answer = request({ socketPath: path, path: '/x' }).end();
  const [response] = await once(answer, 'response');
  assert.equal(response.statusCode, 200);
  response.resume();
  front.stopAccepting();
  assert.ok(!existsSync(path));
  front.stopAccepting();
});

test('a socket that nobody listens on any more is replaced, one that lives is not', async (t) => {
  const path = temporaryFolder(t).path('kas.sock');
  // What a killed process leaves behind: a socket file without a listener. (Closing would remove the file.)
  const { execFileSync } = await import('node:child_process');
  const script = `require('net').createServer().listen(${JSON.stringify(path)}, () => process.kill(process.pid, 'SIGKILL'))`;
  assert.throws(() => execFileSync(process.execPath, ['-e', script], { stdio: 'ignore' }));
  assert.ok(statSync(path).isSocket());

  const { front } = await open(t, handlers, listen('unix', path));
  assert.equal(front.address, path);
  const error = await refusal(open(t, handlers, listen('unix', path)));
  assert.equal(error.message, `listen unix ${path}: bind: address already in use`);
  assert.ok(await answers({ path }));
});

test('a file that is no socket is left alone', async (t) => {
  const folder = temporaryFolder(t);
  const path = folder.write('kas.sock', 'precious');
  const error = await refusal(open(t, handlers, listen('unix', path)));
  assert.equal(error.message, `listen unix ${path}: bind: address already in use`);
  assert.match(error.hint ?? '', /no socket/);
  assert.equal(statSync(path).size, 8);
});

test('a socket path that is too long, or in no folder, is an error in words', async (t) => {
  const folder = temporaryFolder(t);
  const long = await refusal(open(t, handlers, listen('unix', folder.path('x'.repeat(120)))));
  assert.match(long.message, /^listen unix .*: bind: invalid argument$/);
  assert.match(long.hint ?? '', /a socket path has at most \d+ bytes, this one has \d+/);
  const nowhere = await refusal(open(t, handlers, listen('unix', folder.path('no/such/kas.sock'))));
  assert.match(nowhere.message, /: bind: no such file or directory$/);
});

test('a folder without permission is an error in words', {
  skip: process.getuid?.() === 0 && 'root may all',
}, async (t) => {
  const folder = temporaryFolder(t);
  chmodSync(folder.path('.'), 0o500);
  const error = await refusal(open(t, handlers, listen('unix', folder.path('kas.sock'))));
  chmodSync(folder.path('.'), 0o700);
  assert.match(error.message, /: bind: permission denied$/);
});

test('a listener that stopped accepting finishes what it has, then is idle', async (t) => {
  let finish = () => {};
  const started = Promise.withResolvers<void>();
  const { front, endpoint } = await open(t, {
    request(_req, res) {
      finish = () => res.end('done');
      started.resolve();
    },
  });
  const busy = await rawConnection(endpoint);
  busy.write('GET / HTTP/1.1\r\nHost: a\r\n\r\n');
  await started.promise;
  const waiting = await rawConnection(endpoint);
  front.stopAccepting();
  void front.drain(0);
  let idle = false;
  const whenIdle = front.whenIdle().then(() => {
    idle = true;
  });
  await waiting.closed; // it had nothing to wait for
  assert.ok(!(await answers({ host: endpoint.host, port: endpoint.port })));
  assert.equal(idle, false);
  finish();
  assert.match(await busy.readToEnd(), /^HTTP\/1\.1 200 OK[\s\S]*done/);
  await whenIdle;
});

test('closing cuts what is left', async (t) => {
  const { front, endpoint } = await open(t, { request() {} });
  const connection = await rawConnection(endpoint);
  connection.write('GET / HTTP/1.1\r\nHost: a\r\n\r\n');
  front.close();
  await connection.closed;
  await front.whenIdle();
  assert.ok(
    await rawExchange(endpoint, 'x').then(
      () => false,
      () => true,
    ),
  );
});
