import assert from 'node:assert/strict';
import { test } from 'node:test';
import { HttpConnection } from '../../test/support/doubles/http_connection.ts';

const UPGRADE = 'GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n';
const NEXT = 'GET /next HTTP/1.1\r\nHost: x\r\n\r\n';

test('a response that ends gives the connection back', async () => {
  const connection = new HttpConnection((request, response) => response.end(`answer to ${request.url};`));
  connection.write(UPGRADE);
  await connection.until(() => connection.received.includes('answer to /;'), 'the answer');
  connection.write(NEXT);
  await connection.until(() => connection.received.includes('answer to /next;'), 'the next answer');
});

test('a response that wants the connection closed closes it', async () => {
  const connection = new HttpConnection((_request, response) => {
    response.writeHead(400, ['Connection', 'close', 'Content-Length', '3']);
    response.end('bad');
  });
  connection.write(`${UPGRADE}${NEXT}`);
  await connection.until(() => connection.ended, 'the end');
  assert.ok(connection.received.endsWith('bad'));
  assert.equal(connection.requests, 1);
});

test('a client of HTTP/1.0 has its connection closed', async () => {
  const connection = new HttpConnection((_request, response) => response.end('done'));
  connection.write(UPGRADE.replace('1.1', '1.0'));
  await connection.until(() => connection.ended, 'the end');
  assert.ok(connection.received.endsWith('done'));
});

test('once detached, the bytes are the caller’s', async () => {
  const connection = new HttpConnection((_request, response, upgrade) => {
    if (upgrade === undefined) throw new Error('no upgrade');
    upgrade.detach();
    upgrade.socket.write('raw');
    assert.equal(response.destroyed, false);
    upgrade.socket.on('data', (chunk: Buffer) => upgrade.socket.write(`<${chunk}>`));
  });
  connection.write(UPGRADE);
  await connection.until(() => connection.received === 'raw', 'the bytes');
  connection.write(NEXT);
  await connection.until(() => connection.received === `raw<${NEXT}>`, 'the echo');
  assert.equal(connection.requests, 1);
});

test('a client that leaves closes the response', async () => {
  let closed = false;
  const connection = new HttpConnection((_request, response) => {
    response.on('close', () => {
      closed = true;
    });
  });
  connection.write(UPGRADE);
  await connection.until(() => connection.requests === 1, 'the request');
  connection.client.destroy();
  await connection.until(() => closed, 'the end of the response');
});
