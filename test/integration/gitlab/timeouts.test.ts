import assert from 'node:assert/strict';
import { once } from 'node:events';
import { type AddressInfo, createServer, type Socket } from 'node:net';
import { type TestContext, test } from 'node:test';
import { createSecureContext } from 'node:tls';
import { Http1Transport } from '../../../src/gitlab/http1/transport.ts';
import { HttpTransport } from '../../../src/gitlab/transport.ts';
import { FakeClock } from '../../../src/runtime/fake_clock.ts';

/** A peer that takes connections and whatever is sent, and says nothing; and a transport towards it or through it. */
async function setUp(
  t: TestContext,
  Kind: typeof HttpTransport | typeof Http1Transport,
  scheme: 'http' | 'https',
  viaProxy = false,
) {
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.on('error', () => {});
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  const clock = new FakeClock();
  const transport = new Kind({
    origin: new URL(viaProxy ? `${scheme}://gitlab.example` : `${scheme}://127.0.0.1:${port}`),
    proxy: viaProxy ? new URL(`http://127.0.0.1:${port}`) : undefined,
    secureContext: createSecureContext(),
    userAgent: 'test',
    clock,
  });
  t.after(() => {
    transport.close();
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  const request = { method: 'GET', target: '/', headers: {}, body: undefined };
  const result = transport.send(request, new AbortController().signal);
  result.catch(() => {});
  // What the transport says first shows that it is waiting for an answer now.
  const [socket]: Socket[] = await once(server, 'connection');
  assert.ok(socket);
  await once(socket, 'data');
  await new Promise((resolve) => setImmediate(resolve));
  return { clock, result, socket };
}

const cases = [
  ['an answer that does not begin', 'http', false, 20_000, /timeout awaiting response headers$/],
  ['a TLS handshake that is not answered', 'https', false, 10_000, /the TLS handshake took too long$/],
  ['a proxy that does not answer', 'https', true, 30_000, /the proxy took too long to answer CONNECT$/],
] as const;
for (const Kind of [HttpTransport, Http1Transport]) {
  for (const [what, scheme, viaProxy, timeoutMs, message] of cases) {
    test(`${what} is waited for, for ${timeoutMs} ms (${Kind.name})`, async (t) => {
      const { clock, result, socket } = await setUp(t, Kind, scheme, viaProxy);
      clock.advance(timeoutMs - 1);
      assert.equal(
        await Promise.race([
          result.catch(() => 'failed'),
          new Promise((resolve) => setTimeout(resolve, 20, 'waiting')),
        ]),
        'waiting',
      );
      clock.advance(1);
      await assert.rejects(result, { name: 'TransportError', retryable: true, message });
      if (!socket.destroyed) await once(socket, 'close');
      assert.equal(clock.pendingTimers, 0);
    });
  }
}
