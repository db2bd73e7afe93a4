import assert from 'node:assert/strict';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { type TestContext, test } from 'node:test';
import { bindThrough } from '../../../src/net/bind_through.ts';
import type { BoundListener } from '../../../src/net/listen.ts';
import { SharedListeners } from '../../../src/net/shared_listeners.ts';
import { systemClock } from '../../../src/runtime/clock.ts';
import type { Link } from '../../../src/runtime/link.ts';
import { Scope } from '../../../src/runtime/scope.ts';
import { linkedPair } from '../../support/linked_pair.ts';
import { eventually } from '../../support/wait.ts';
import { portOf, temporaryFolder } from './setup.ts';

const address = { network: 'tcp', address: '127.0.0.1:0' } as const;

/** A primary process's listeners, and workers that greet with their names; all in this process. */
function setUp(t: TestContext) {
  const listeners = new SharedListeners(() => {}); // both ends of a connection are the same object here
  const scope = new Scope(systemClock);
  const clients: Socket[] = [];
  t.after(async () => {
    for (const client of clients) client.destroy();
    await listeners.close();
    scope.close();
  });
  return {
    listeners,
    async worker(name: string, listen: { network: 'tcp' | 'unix'; address: string } = address) {
      const { here, there } = linkedPair();
      listeners.serve(there);
      const taken = new Set<Socket>();
      const listener = await bindThrough(here, scope)(listen, (socket) => {
        taken.add(socket);
        socket
          .on('error', () => {})
          .once('end', () => socket.end())
          .once('close', () => taken.delete(socket));
        socket.on('data', () => socket.write(name));
        socket.resume(); // handing it to another process makes a new one, which nobody has paused
      });
      return { listener, link: there, taken };
    },
    /** Connects, and returns the name of the worker that answers. */
    async ask(listener: BoundListener): Promise<{ name: string; client: Socket }> {
      const client = connect(listener.address.startsWith('/') ? { path: listener.address } : where(listener));
      clients.push(client);
      client.write('who?');
      const [answer] = (await once(client, 'data')) as [Buffer];
      return { name: answer.toString(), client };
    },
  };
}

function where(listener: BoundListener) {
  return { host: '127.0.0.1', port: portOf(listener.address) };
}

const gone = (listeners: SharedListeners, link: Link) => {
  link.break('gone');
  listeners.gone(link);
};

test('workers that listen at one address share one socket, and take turns', async (t) => {
  const { worker, ask } = setUp(t);
  const [a, b] = [await worker('a'), await worker('b')];
  assert.equal(a.listener.address, b.listener.address);
  const names: string[] = [];
  for (let i = 0; i < 6; i++) names.push((await ask(a.listener)).name);
  assert.deepEqual(names, ['a', 'b', 'a', 'b', 'a', 'b']);
});

test('who joins later gets connections until it has as many as the others', async (t) => {
  const { worker, ask } = setUp(t);
  const a = await worker('a');
  const first: Socket[] = [];
  for (let i = 0; i < 3; i++) first.push((await ask(a.listener)).client);
  const b = await worker('b');
  const names: string[] = [];
  for (let i = 0; i < 4; i++) names.push((await ask(a.listener)).name);
  assert.deepEqual(names, ['b', 'b', 'b', 'a']);
  for (const client of first) client.destroy();
  await eventually('the connections to end', () => a.taken.size === 1);
  await eventually('the primary process to hear of it', async () => (await ask(b.listener)).name === 'a');
});

test('the backlog outlives workers that die', async (t) => {
  const { listeners, worker, ask } = setUp(t);
  const a = await worker('a');
  gone(listeners, a.link);
  const asked = ask(a.listener);
  await new Promise((resolve) => setTimeout(resolve, 50));
  const again = await worker('a again', { ...address });
  assert.equal(again.listener.address, a.listener.address);
  assert.equal((await asked).name, 'a again');
});

test('a connection that a worker has not taken when it dies goes to another one', async (t) => {
  const { listeners, worker, ask } = setUp(t);
  const { here, there } = linkedPair();
  there.on('listener.taken', () => {});
  listeners.serve(there);
  here.on('listener.connection', () => {}); // dies before it can say anything
  const { network, address: where } = address;
  const bound = await here.call<string>('listener.open', { network, address: where });
  const asked = ask({ address: bound, close: () => Promise.resolve() });
  await new Promise((resolve) => setTimeout(resolve, 50));
  await worker('b');
  gone(listeners, there);
  assert.equal((await asked).name, 'b');
});

test('connections that waited come when the listener is known to whoever opened it', async (t) => {
  const { listeners, worker } = setUp(t);
  const a = await worker('a');
  gone(listeners, a.link);
  const client = connect(where(a.listener));
  t.after(() => client.destroy());
  await once(client, 'connect');
  await new Promise((resolve) => setTimeout(resolve, 50));
  const { here, there } = linkedPair();
  listeners.serve(there);
  let opened: BoundListener | undefined;
  const come = new Promise<boolean>((resolve) => {
    const bind = bindThrough(here, new Scope(systemClock));
    void bind(address, () => resolve(opened !== undefined)).then((listener) => {
      opened = listener;
    });
  });
  assert.equal(await come, true);
});

test('one that closes gets nothing more, and the last one closes the socket', async (t) => {
  const { worker, ask } = setUp(t);
  const [a, b] = [await worker('a'), await worker('b')];
  await a.listener.close();
  assert.deepEqual([(await ask(a.listener)).name, (await ask(a.listener)).name], ['b', 'b']);
  await b.listener.close();
  await assert.rejects(ask(a.listener), { code: 'ECONNREFUSED' });
});

test('a socket file is made once and removed at the end', async (t) => {
  const { listeners, worker, ask } = setUp(t);
  const path = temporaryFolder(t).path('shared.sock');
  const [a, b] = [
    await worker('a', { network: 'unix', address: path }),
    await worker('b', { network: 'unix', address: path }),
  ];
  assert.deepEqual([(await ask(a.listener)).name, (await ask(b.listener)).name], ['a', 'b']);
  gone(listeners, a.link);
  assert.ok(existsSync(path));
  await b.listener.close();
  assert.equal(existsSync(path), false);
});

test('an address that cannot be bound is refused in the words of the listener', async (t) => {
  const { worker } = setUp(t);
  const taken = (await worker('a')).listener.address;
  const { worker: other } = setUp(t);
  const refused = { message: `listen tcp ${taken}: bind: address already in use` };
  await assert.rejects(other('b', { network: 'tcp', address: taken }), refused);
  await assert.rejects(other('b', { network: 'tcp', address: taken }), refused);
});
