// Runs every command of docs/internal-api.md in a shell, and compares what it prints with what the page says.
import assert from 'node:assert/strict';
import { execFile, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { createServer, type ServerHttp2Session, type ServerHttp2Stream } from 'node:http2';
import type { AddressInfo } from 'node:net';
import { after, before, describe, test } from 'node:test';
import { promisify } from 'node:util';
import { create, toBinary } from '@bufbuild/protobuf';
import { GetTreeEntriesResponseSchema, TreeEntry_EntryType } from '../../src/gen/gitaly/gitaly_pb.ts';
import {
  RegisterRequestSchema,
  RegisterResponseSchema,
} from '../../src/gen/gitlab/agent/agent_registrar/rpc/agent_registrar_pb.ts';
import { addressOf } from '../support/endpoint.ts';
import { type FakeGitLab, startGitLab } from '../support/gitlab/gitlab.ts';
import { envelope, grpcConnection, unary } from '../support/grpc_client.ts';
import { root } from '../support/launch.ts';
import { type RunningServer, startServer } from '../support/server.ts';

const page = readFileSync(`${root}docs/internal-api.md`, 'utf8');

interface Example {
  readonly heading: string;
  readonly command: string;
  /** What it prints; undefined: the page does not show it. */
  readonly printed: string | undefined;
}

const [preamble, ...examples] = page
  .split(/^## /m)
  .slice(1)
  .flatMap((section): Example[] => {
    const heading = section.slice(0, section.indexOf('\n'));
    const blocks = [...section.matchAll(/^```(\w+)\n(.*?)^```$/gms)].map(([, kind = '', text = '']) => ({
      kind,
      text,
    }));
    return blocks.flatMap(({ kind, text }, i) => {
      const next = blocks[i + 1];
      return kind === 'sh' ? [{ heading, command: text, printed: next?.kind === 'json' ? next.text : undefined }] : [];
    });
  });

const missing = ['bash', 'curl', 'openssl'].find((tool) => spawnSync('sh', ['-c', `command -v ${tool}`]).status !== 0);
if (missing !== undefined)
  process.stderr.write(`SKIPPED: the commands of docs/internal-api.md: there is no ${missing}\n`);

describe('docs/internal-api.md', { skip: missing !== undefined }, () => {
  let gitlab: FakeGitLab;
  let server: RunningServer;
  let gitaly: { readonly address: string; close(): void };
  before(async () => {
    gitaly = await startGitaly();
    gitlab = await startGitLab();
    server = await startServer({ gitlab });
    const agent = await grpcConnection(server.endpoints.agent);
    const kubernetesVersion = { major: '1', minor: '36', gitVersion: 'v1.36.0', platform: 'linux/amd64' };
    const pod = { podNamespace: 'gitlab-agent', podName: 'agentk-5d9c7', kubernetesVersion };
    await unary(
      agent,
      '/gitlab.agent.agent_registrar.rpc.AgentRegistrar/Register',
      RegisterRequestSchema,
      { podId: 2n ** 62n, agentMeta: { version: 'v19.3.0', commitId: 'c0ffee12', ...pod } },
      RegisterResponseSchema,
    );
    agent.close();
  });
  after(async () => {
    await server.stop();
    gitaly.close();
    await gitlab.close();
  });

  test('shows all there is to call', () => {
    const shown = examples.map(({ command }) => command).join('');
    for (const method of ['GetServerInfo', 'GetConnectedAgentksByAgentIDs', 'GetConnectedAgentsByProjectIDs']) {
      assert.match(shown, new RegExp(method));
    }
    for (const method of [
      'GetConnectedAgents ',
      'CountAgentsByAgentVersions',
      'ListAgentConfigFiles',
      'GitPushEvent',
    ]) {
      assert.match(shown, new RegExp(method));
    }
  });

  for (const { heading, command, printed } of examples) {
    test(`${heading}: ${command.split('\n', 1)[0]}`, async () => {
      const env = {
        ...process.env,
        KAS: `http://${addressOf(server.endpoints.api)}`,
        SECRET_FILE: server.places.apiSecretFile,
        GITALY: gitaly.address,
        GITALY_TOKEN: 'gitaly-token',
      };
      const script = `set -eu\n${preamble?.command}\n${command}`;
      const { stdout, stderr } = await promisify(execFile)('bash', ['-c', script], { env });
      assert.equal(stderr, '');
      const answer: unknown = JSON.parse(stdout);
      if (printed === undefined) assert.ok(Object.hasOwn(Object(answer), 'agents'), stdout);
      else assert.deepEqual(withoutAccidents(answer), withoutAccidents(JSON.parse(printed)));
    });
  }
});

/** Has one repository with one file. */
async function startGitaly(): Promise<{ readonly address: string; close(): void }> {
  const entry = { path: Buffer.from('.gitlab/agents/agent-1/config.yaml'), type: TreeEntry_EntryType.BLOB };
  const entries = toBinary(GetTreeEntriesResponseSchema, create(GetTreeEntriesResponseSchema, { entries: [entry] }));
  const sessions = new Set<ServerHttp2Session>();
  const gitaly = createServer();
  gitaly.on('session', (session) => sessions.add(session));
  gitaly.on('stream', (stream: ServerHttp2Stream) => {
    stream.respond({ ':status': 200, 'content-type': 'application/grpc' }, { waitForTrailers: true });
    stream.once('wantTrailers', () => stream.sendTrailers({ 'grpc-status': '0' }));
    stream.end(envelope(entries));
  });
  gitaly.listen(0, '127.0.0.1');
  await once(gitaly, 'listening');
  return {
    address: `tcp://127.0.0.1:${(gitaly.address() as AddressInfo).port}`,
    close() {
      gitaly.close();
      for (const session of sessions) session.destroy();
    },
  };
}

/** Times and commits are another each time. */
function withoutAccidents(value: unknown): unknown {
  const text = JSON.stringify(value, (key, inner) => (key === 'gitRef' ? '' : inner));
  return JSON.parse(text.replace(/"\d{4}-\d\d-\d\dT[\d:.]+Z"/g, '"a time"'));
}
