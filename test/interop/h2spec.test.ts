// h2spec, where it is given by path (H2SPEC=…): no listener does worse than the runtime's own HTTP/2, and none dies of it.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createServer, type ServerHttp2Stream } from 'node:http2';
import type { AddressInfo } from 'node:net';
import { after, before, describe, test } from 'node:test';
import { stripVTControlCharacters } from 'node:util';
import { type RunningServer, readiness, startServer } from '../support/server.ts';

const program = process.env.H2SPEC;
const skip = program === undefined && 'H2SPEC is not set: the path of h2spec (github.com/summerwind/h2spec)';
if (skip) process.stderr.write(`SKIPPED: h2spec: ${skip}\n`);

/** What HTTP/1.1 on the same port means: it is answered what it says in HTTP/1.1, and the connection is closed. */
const BOTH_VERSIONS = ['Sends invalid connection preface'];
/**
 * Answers of the agents' port to requests that are not gRPC have no body, which some wait for. A stream is answered and closed
 * before its next frame comes, which is then let pass.
 */
const AGENT_PORT = [
  ...BOTH_VERSIONS,
  'half closed (remote): Sends a DATA frame',
  'Sends a WINDOW_UPDATE frame on half-closed (remote) stream',
  'Sends a PRIORITY frame on half-closed (remote) stream',
];

interface Verdict {
  readonly passed: number;
  readonly failed: readonly string[];
}

async function h2spec(port: number, path: string): Promise<Verdict> {
  const child = spawn(program ?? '', ['-h', '127.0.0.1', '-p', String(port), '-P', path, '-S', '-o', '3']);
  let output = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    output += text;
  });
  await once(child, 'close');
  const plain = stripVTControlCharacters(output);
  const passed = Number(/^\d+ tests, (\d+) passed/m.exec(plain)?.[1]);
  const failures = plain.slice(plain.indexOf('Failures'));
  return { passed, failed: [...failures.matchAll(/^\s*× \d+: (.*)$/gm)].map(([, name = '']) => name) };
}

describe('h2spec', { skip, timeout: 240_000 }, () => {
  let server: RunningServer;
  let bare: Verdict;
  before(async () => {
    server = await startServer();
    const runtime = createServer();
    runtime.on('session', (session) => session.on('error', () => {}));
    runtime.on('stream', (stream: ServerHttp2Stream) => {
      stream.on('error', () => {});
      stream.respond({ ':status': 200 });
      stream.end('x'.repeat(500));
    });
    runtime.listen(0, '127.0.0.1');
    await once(runtime, 'listening');
    bare = await h2spec((runtime.address() as AddressInfo).port, '/');
    runtime.close();
    assert.ok(bare.passed >= 130, `the bare runtime passes ${bare.passed}`);
  });
  after(async () => {
    await server.stop();
  });

  test('the Kubernetes API port', async (t) => {
    const { passed, failed } = await h2spec(server.endpoints.kubernetesApi.port, '/k8s-proxy/x');
    t.diagnostic(`${passed} passed, bare runtime ${bare.passed}; failed: ${failed.join('; ')}`);
    assert.deepEqual(
      failed.filter((name) => !BOTH_VERSIONS.includes(name)),
      [],
    );
    assert.ok(passed >= bare.passed, `${passed} passed, of the bare runtime ${bare.passed}`);
    assert.equal(await readiness(server.endpoints), 200);
  });

  test('the agents’ port', async (t) => {
    const { passed, failed } = await h2spec(server.endpoints.agent.port, '/');
    t.diagnostic(`${passed} passed, bare runtime ${bare.passed}; failed: ${failed.join('; ')}`);
    assert.deepEqual(
      failed.filter((name) => !AGENT_PORT.includes(name)),
      [],
    );
    assert.ok(passed >= bare.passed, `${passed} passed, of the bare runtime ${bare.passed}`);
    assert.equal(await readiness(server.endpoints), 200);
  });
});
