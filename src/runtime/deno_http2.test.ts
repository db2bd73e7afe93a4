import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect, createServer, type ServerHttp2Session, type ServerHttp2Stream } from 'node:http2';
import type { AddressInfo } from 'node:net';
import { test } from 'node:test';
import { spareDenoHttp2 } from './deno_http2.ts';

/** Enough of them to kill a Deno that is not spared, nearly always. */
const ROUNDS = 300;

function ignore(): void {}

test('a session may be destroyed as soon as its peer says goodbye', async () => {
  spareDenoHttp2();
  const server = createServer();
  server.on('session', (session: ServerHttp2Session) => session.on('error', ignore));
  server.on('stream', (stream: ServerHttp2Stream) => {
    stream.on('error', ignore);
    stream.respond({ ':status': 200 });
    stream.session?.goaway(0);
    stream.session?.goaway(2);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  let goodbyes = 0;
  for (let round = 0; round < ROUNDS; round++) {
    const session = connect(`http://127.0.0.1:${port}`);
    session.on('error', ignore);
    session.on('goaway', () => {
      goodbyes++;
      session.destroy();
    });
    const closed = once(session, 'close');
    for (let n = 0; n < 5; n++) session.request({ ':path': '/' }).on('error', ignore).resume();
    await closed;
    assert.ok(session.destroyed);
  }
  assert.ok(goodbyes >= ROUNDS);
  await new Promise((resolve) => server.close(resolve));
});
