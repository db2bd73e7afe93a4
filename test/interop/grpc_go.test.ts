// google.golang.org/grpc, the library inside agentk, as the client of 8150: not only our own code can talk to it.
import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { before, describe, test } from 'node:test';
import { addressOf } from '../support/endpoint.ts';
import { buildGoProgram, withoutGo } from '../support/go_program.ts';
import { ask } from '../support/http_client.ts';
import { type RunningServer, startServer } from '../support/server.ts';
import { within } from '../support/wait.ts';

interface Report {
  readonly connections: number;
  readonly registered: number;
  readonly register_errors: readonly string[];
  readonly agent_id: number;
  readonly configured: number;
  readonly config_errors: readonly string[];
  readonly tunnels_ended: number;
  readonly tunnel_errors: readonly string[];
  readonly served: number;
  readonly compressed_answers: number;
}

if (withoutGo) process.stderr.write(`SKIPPED: grpc-go as client: ${withoutGo}\n`);

describe('grpc-go', { skip: withoutGo, concurrency: true }, () => {
  let program = '';
  before(async () => {
    program = await buildGoProgram('interop/grpc_go');
  });

  /** Runs the program until `play` is done, then reads what it saw. */
  async function withAgent(
    server: RunningServer,
    scheme: 'grpc' | 'ws',
    flags: readonly string[],
    play: () => Promise<void>,
  ): Promise<Report> {
    const host = addressOf(server.endpoints.agent);
    const address = scheme === 'ws' ? `ws://${host}/-/kubernetes-agent/` : `grpc://${host}`;
    const child: ChildProcess = spawn(program, ['-address', address, ...flags], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    let out = '';
    child.stdout?.setEncoding('utf8').on('data', (text: string) => {
      out += text;
    });
    const closed = new Promise<void>((resolve) => child.once('close', () => resolve()));
    try {
      await play();
      child.kill('SIGTERM');
      await within('the end of grpc_go', 10_000, closed);
    } finally {
      child.kill('SIGKILL');
    }
    return JSON.parse(out.trim().split('\n').at(-1) ?? '') as Report;
  }

  const get = (server: RunningServer, body = '') =>
    ask(server.endpoints.kubernetesApi, {
      method: 'POST',
      path: '/k8s-proxy/x',
      headers: { authorization: 'Bearer pat:1:alice-pat' },
      body,
    });

  for (const scheme of ['grpc', 'ws'] as const)
    for (const compression of [false, true])
      test(`${scheme}${compression ? ' with compressed answers' : ''}: registers, is configured, serves requests`, async () => {
        const server = await startServer({ config: { server: { agent_compression: compression } } });
        const report = await withAgent(server, scheme, [], async () => {
          for (let i = 0; i < 50; i += 1) {
            const answer = await within('the answer', 10_000, get(server, 'b'.repeat(i * 1000)));
            assert.equal(answer.status, 200, answer.text);
            assert.match(answer.text, /^\d+ bytes asked$/);
            assert.ok(Number.parseInt(answer.text, 10) > i * 1000);
          }
        });
        await server.stop();
        assert.deepEqual(
          [
            report.register_errors,
            report.config_errors,
            report.tunnel_errors,
            report.agent_id,
            report.served,
            report.connections,
          ],
          [[], [], [], 1, 50, 1],
        );
        assert.ok(report.registered > 0 && report.configured > 0);
        assert.equal(report.compressed_answers > 0, compression);
      });

  for (const scheme of ['grpc', 'ws'] as const)
    test(`${scheme}: GOAWAY at a short max_connection_age loses nothing`, async () => {
      const server = await startServer({ config: { agent: { listen: { max_connection_age: '10s' } } } });
      const report = await withAgent(server, scheme, ['-register-every', '20ms', '-tunnels', '10'], async () => {
        const end = performance.now() + 9000;
        while (performance.now() < end) {
          const answer = await within('the answer', 10_000, get(server));
          assert.equal(answer.status, 200, answer.text);
          await new Promise((resolve) => setTimeout(resolve, 20));
        }
      });
      await server.stop();
      assert.deepEqual([report.register_errors, report.config_errors, report.tunnel_errors], [[], [], []]);
      assert.ok(report.connections >= 3, `${report.connections} connections`);
      assert.ok(report.registered > 100);
    });

  test('pings every 20 s are welcome and keep the connection', { timeout: 90_000 }, async () => {
    const server = await startServer();
    const report = await withAgent(server, 'grpc', ['-ping-every', '20s', '-register-every', '1h'], async () => {
      await new Promise((resolve) => setTimeout(resolve, 65_000));
      assert.equal((await get(server)).status, 200);
    });
    await server.stop();
    assert.deepEqual([report.connections, report.tunnel_errors, report.config_errors], [1, [], []]);
  });
});
