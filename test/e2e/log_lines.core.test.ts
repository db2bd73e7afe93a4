// The distinct log lines of upstream's KAS (test/vectors/logs/kas.jsonl): ours are the same, or there is a reason.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { after, before, describe, test } from 'node:test';
import { startBackend } from '../support/backend.ts';
import { type Cluster, startCluster } from '../support/cluster.ts';
import { ask } from '../support/http_client.ts';
import type { LogLine } from '../support/server.ts';
import { upstreamLines } from '../support/upstream_lines.ts';

/**
 * Lines that other tests bring about, in the file named; it has the text, or its part that does not change. Each end-to-end test
 * compares level and fields of such lines, whatever it is about (test/support/server.ts).
 */
const elsewhere: Record<string, { readonly file: string; readonly text?: string }> = {
  'Trying tunnel': { file: 'test/integration/routing/peer_search.test.ts' },
  'HTTP->gRPC: failed to read gRPC response': {
    file: 'test/e2e/no_agent.test.ts',
    text: 'failed to read gRPC response',
  },
  'Agent connection not found': { file: 'test/e2e/no_agent.test.ts' },
  'Config: new commit': { file: 'test/e2e/agent_configuration.core.test.ts', text: 'Config: ' },
  'Config: no updates': { file: 'test/e2e/agent_configuration.core.test.ts' },
  'Config: empty repository': { file: 'test/e2e/agent_configuration.core.test.ts' },
  'Config: failed to fetch': { file: 'test/e2e/agent_configuration.core.test.ts' },
  'Config: repository poll failed': { file: 'test/e2e/agent_configuration.core.test.ts' },
  PathFetcher: { file: 'src/modules/configuration_project/configuration_project.test.ts' },
  'JWT validation failed': { file: 'test/e2e/internal_api_jwt.core.test.ts' },
  // The troubleshooting pages have it under this name.
  'AgentInfo()': { file: 'src/auth/gitlab_agent_authenticator.test.ts', text: 'GetAgentInfo()' },
  'Started reconcile projects ...': { file: 'test/e2e/flux.core.test.ts' },
  'Stopped reconcile projects ...': { file: 'src/modules/flux/reconcile_projects.test.ts' },
  'Handling GET /policies_configuration': { file: 'test/e2e/gitlab_access.core.test.ts', text: 'Handling ' },
  'Handling POST /': { file: 'test/e2e/gitlab_access.core.test.ts', text: 'Handling ' },
  'gRPC -> HTTP': { file: 'test/e2e/gitlab_access.core.test.ts' },
  'GitOps: new commit': { file: 'test/e2e/gitops_failures.core.test.ts' },
  'GitOps: fetched files': { file: 'test/e2e/gitops.core.test.ts' },
  'Failed to publish received git push event': { file: 'src/modules/notifications/notifications.test.ts' },
  'redistool.TokenLimiter: rate limit exceeded': { file: 'src/auth/connection_limit.test.ts' },
};

/** Lines that have no meaning here. */
const absent: Record<string, string> = {
  'duplicate metric stream definitions': 'a complaint of the OpenTelemetry SDK in Go about its own metrics',
  'HTTP->gRPC: failed to read request body':
    'a client that goes is no failure: its line `Proxied request` has the result `client_gone`',
  'Unknown gRPC error in "/gitlab.agent.reverse_tunnel.rpc.ReverseTunnel/Connect"':
    'an agent that ends its stream early gets its status; here only defects are unknown errors (src/grpc/server.test.ts)',
  'Deleted expired agent connections records': 'said where Redis is the store: in memory nothing waits to be deleted',
  'ReadinessProbe failed':
    'about Redis, which the server of this test does not have (test/e2e has tests of the probes)',
};

describe('log lines', () => {
  let cluster: Cluster;
  before(async () => {
    const external = 'http://gitlab.example';
    cluster = await startCluster({
      gitlab: {},
      backend: await startBackend(),
      config: { observability: { logging: { level: 'debug' } }, gitlab: { external_url: external } },
    });
  });
  after(() => cluster.stop());

  /** What brings about the lines that are left. */
  const requests: Record<string, () => Promise<unknown>> = {
    'Authorize proxy user error': () => cluster.ask({ path: '/', token: 'pat:1:nobody' }),
    Unauthorized: () => cluster.ask({ path: '/', token: null }),
    'Failed to authorize user session': () => cluster.ask({ path: '/', token: 'pat:0:alice-pat' }),
    'Unauthorized: CI job token': () => cluster.ask({ path: '/', token: 'ci:1:nobody' }),
    'Forbidden: CI job token': () => answered('job/allowed_agents', 403),
    'Not found: agents for CI job token': () => answered('job/allowed_agents', 404),
    'Failed to get allowed agents for CI job token': () => answered('job/allowed_agents', 418),
    'Forbidden: agentId is not allowed': () => cluster.ask({ path: '/', token: 'ci:99:job-ci' }),
    'Bad request: URL does not start with expected prefix': () =>
      ask(cluster.server.endpoints.kubernetesApi, { path: '/elsewhere' }),
    'HTTP->gRPC: failed to send request header': () => cluster.ask({ path: '/%ff' }),
    'Received Origin "http://evil.example" is not in configured allowed origins': () =>
      cluster.ask({ path: '/', headers: { origin: 'http://evil.example' } }),
    'Failed to negotiate output media type': () =>
      cluster.ask({ path: '/', token: null, headers: { accept: 'image/png' } }),
  };

  let asked = 0;
  async function answered(pathEnd: string, status: number) {
    const stop = cluster.gitlab?.fail(pathEnd, { status });
    await cluster.ask({ path: '/', token: `ci:1:job-unheard-of-${asked++}` });
    stop?.();
  }

  /** Of a line's fields those that upstream has: addresses differ, and some are ours alone. */
  function fieldsOf(line: LogLine): string[] {
    return Object.keys(line).filter((name) => !['correlation_id', 'trace_id', 'hint'].includes(name));
  }

  for (const line of upstreamLines) {
    const { msg } = line;
    const other = elsewhere[msg];
    if (other !== undefined) {
      test(`${msg}: see ${other.file}`, () => {
        const source = readFileSync(new URL(`../../${other.file}`, import.meta.url), 'utf8');
        assert.ok(source.includes(other.text ?? msg), `${other.file} does not have it`);
      });
      continue;
    }
    if (absent[msg] !== undefined) continue;
    test(msg, async () => {
      await requests[msg]?.();
      const ours = await cluster.server.waitForLog(msg, (candidate) => candidate.msg === msg, 2000);
      assert.equal(ours.level, line.level);
      assert.equal(ours.mod_name, line.mod_name);
      assert.deepEqual(fieldsOf(ours), fieldsOf(line));
    });
  }

  test('those that have no meaning here are of upstream’s', () => {
    for (const msg of [...Object.keys(absent), ...Object.keys(elsewhere), ...Object.keys(requests)]) {
      assert.ok(
        upstreamLines.some((line) => line.msg === msg),
        msg,
      );
    }
  });
});
