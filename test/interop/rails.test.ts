// GitLab's own way to 8153: the gRPC libraries of Ruby, which Rails uses, and of Python.
import assert from 'node:assert/strict';
import { execFile, spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import {
  create,
  type DescMessage,
  type DescMethodUnary,
  fromBinary,
  type MessageInitShape,
  toBinary,
} from '@bufbuild/protobuf';
import {
  RegisterRequestSchema,
  RegisterResponseSchema,
} from '../../src/gen/gitlab/agent/agent_registrar/rpc/agent_registrar_pb.ts';
import { AgentTracker } from '../../src/gen/gitlab/agent/agent_tracker/rpc/agent_tracker_pb.ts';
import { Notifications } from '../../src/gen/gitlab/agent/notifications/rpc/notifications_pb.ts';
import { ServerInfo } from '../../src/gen/gitlab/agent/server_info/rpc/server_info_pb.ts';
import { type FakeGitLab, startGitLab } from '../support/gitlab/gitlab.ts';
import { grpcConnection, unary } from '../support/grpc_client.ts';
import { pathOf, railsJwt } from '../support/internal_api.ts';
import { type RunningServer, type ServerOptions, startServer } from '../support/server.ts';
import { makeTls } from '../support/tls.ts';

// The python3 of the path may be another than the one that Debian's packages are for.
const clients = [
  { language: 'Ruby', programs: ['ruby'], file: 'client.rb', probe: ['-e', 'require "grpc"'] },
  { language: 'Python', programs: ['python3', '/usr/bin/python3'], file: 'client.py', probe: ['-c', 'import grpc'] },
];

interface Outcome {
  readonly code: number;
  readonly message: string;
  readonly hex: string;
}

for (const { language, programs, file, probe } of clients) {
  const program = programs.find((name) => spawnSync(name, probe).status === 0) ?? '';
  const missing = program === '' ? `there is no ${programs[0]} with a gRPC library` : false;
  if (missing) process.stderr.write(`SKIPPED: ${language}'s gRPC as client of the internal API: ${missing}\n`);

  describe(`${language}’s gRPC`, { skip: missing }, () => {
    const script = fileURLToPath(new URL(`rails/${file}`, import.meta.url));

    async function run(address: string, jwt: string, calls: readonly string[], env = {}): Promise<Outcome[]> {
      const { stdout } = await promisify(execFile)(program, [script, address, jwt, ...calls], {
        env: { ...process.env, ...env },
        timeout: 60_000,
      });
      return stdout
        .trim()
        .split('\n')
        .map((line) => JSON.parse(line) as Outcome);
    }
    const call = <I extends DescMessage>(method: DescMethodUnary<I>, request: MessageInitShape<I>) => [
      pathOf(method).slice(1),
      Buffer.from(toBinary(method.input, create(method.input, request))).toString('hex'),
    ];

    describe('as Rails calls', () => {
      let gitlab: FakeGitLab;
      let server: RunningServer;
      before(async () => {
        gitlab = await startGitLab();
        server = await startServer({ gitlab });
        const agent = await grpcConnection(server.endpoints.agent);
        const request = { podId: 5n, agentMeta: { version: 'v19.3.0', podName: 'agentk-1' } };
        const path = '/gitlab.agent.agent_registrar.rpc.AgentRegistrar/Register';
        await unary(agent, path, RegisterRequestSchema, request, RegisterResponseSchema);
        agent.close();
      });
      after(async () => {
        await server.stop();
        await gitlab.close();
      });
      const address = () => `127.0.0.1:${server.endpoints.api.port}`;

      test('what GitLab asks is answered', async () => {
        const project = { id: 1001n, fullPath: 'group/project-1001' };
        const [info, agents, older, push, refused, unknown] = await run(address(), railsJwt(gitlab.secret), [
          ...call(ServerInfo.method.getServerInfo, {}),
          ...call(AgentTracker.method.getConnectedAgentksByAgentIDs, { agentIds: [1n, 2n] }),
          ...call(AgentTracker.method.getConnectedAgentsByAgentIDs, { agentIds: [1n] }),
          ...call(Notifications.method.gitPushEvent, { event: { project } }),
          ...call(Notifications.method.gitPushEvent, {}),
          'gitlab.agent.managed_resources.rpc.Provisioner/GetDefaultEnvironmentTemplate',
          '',
        ]);
        const { output } = ServerInfo.method.getServerInfo;
        assert.equal(fromBinary(output, bytes(info)).currentServerInfo?.version, 'v19.3.0');
        for (const outcome of [agents, older]) {
          const found = fromBinary(AgentTracker.method.getConnectedAgentksByAgentIDs.output, bytes(outcome));
          assert.deepEqual(
            found.agents.map(({ connectionId, agentMeta }) => [connectionId, agentMeta?.podName]),
            [[5n, 'agentk-1']],
          );
        }
        assert.deepEqual(push, { code: 0, message: '', hex: '' });
        assert.deepEqual(refused, {
          code: 3,
          message: 'invalid GitPushEventRequest.Event: value is required',
          hex: '',
        });
        const message = 'unknown service gitlab.agent.managed_resources.rpc.Provisioner';
        assert.deepEqual(unknown, { code: 12, message, hex: '' });
      });

      test('a JWT that has expired is refused', async () => {
        const jwt = railsJwt(gitlab.secret, { exp: 1 });
        const [outcome] = await run(address(), jwt, call(ServerInfo.method.getServerInfo, {}));
        assert.deepEqual(outcome, { code: 16, message: 'JWT validation failed', hex: '' });
      });
    });

    async function reached(
      options: ServerOptions,
      address: (server: RunningServer) => string,
      env = {},
    ): Promise<void> {
      const gitlab = await startGitLab();
      const server = await startServer({ ...options, gitlab });
      const calls = call(ServerInfo.method.getServerInfo, {});
      const [outcome] = await run(address(server), railsJwt(gitlab.secret), calls, env);
      assert.deepEqual([outcome?.code, outcome?.message], [0, '']);
      await server.stop();
      await gitlab.close();
    }

    test('through a UNIX socket', () => reached({ network: 'unix' }, ({ endpoints }) => `unix:${endpoints.api.path}`));

    test('through TLS', async () => {
      const tls = makeTls();
      const folder = mkdtempSync(join(tmpdir(), 'rails-'));
      const [certificate_file, key_file] = [join(folder, 'server.crt'), join(folder, 'server.key')];
      writeFileSync(certificate_file, tls.cert);
      writeFileSync(key_file, tls.key);
      const config = { api: { listen: { certificate_file, key_file } } };
      await reached({ config }, ({ endpoints }) => `localhost:${endpoints.api.port}`, { CA_FILE: certificate_file });
      rmSync(folder, { recursive: true });
    });
  });
}

function bytes(outcome: Outcome | undefined): Buffer {
  assert.deepEqual([outcome?.code, outcome?.message], [0, '']);
  return Buffer.from(outcome?.hex ?? '', 'hex');
}
