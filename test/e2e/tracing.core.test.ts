// What a collector is sent, and what tracing adds elsewhere (docs/protocol/traces.md).
import assert from 'node:assert/strict';
import { mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import {
  ConfigurationRequestSchema,
  ConfigurationResponseSchema,
} from '../../src/gen/gitlab/agent/agent_configuration/rpc/agent_configuration_pb.ts';
import { startBackend } from '../support/backend.ts';
import { startCluster } from '../support/cluster.ts';
import { startGitaly } from '../support/gitaly/gitaly.ts';
import { type FakeGitLab, startGitLab } from '../support/gitlab/gitlab.ts';
import { grpcConnection } from '../support/grpc_client.ts';
import { rawConnection } from '../support/http1.ts';
import type { ConfigTree } from '../support/kas_config.ts';
import { type OtlpReceiver, startOtlpReceiver } from '../support/otlp/receiver.ts';
import { startServer } from '../support/server.ts';

const ALLOWED_AGENTS = '/api/v4/job/allowed_agents';
const CONFIGURATION = 'gitlab.agent.agent_configuration.rpc.AgentConfiguration/GetConfiguration';
const PROXIED = 'gitlab.agent.kubernetes_api.rpc.KubernetesApi/MakeRequest';
const foreign = { traceparent: '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01' };

async function tracedCluster(t: TestContext, tracing: (receiver: OtlpReceiver) => ConfigTree) {
  const receiver = await startOtlpReceiver();
  t.after(() => receiver.close());
  const backend = await startBackend({
    paths: {
      '/ok': (_request, response) => response.end('ok'),
      '/headers': (request, response) => response.end(JSON.stringify(request.headers)),
    },
    upgrades: {
      '/exec': (_request, socket) => {
        socket.write('HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n');
        socket.end();
      },
    },
  });
  const cluster = await startCluster({
    backend,
    gitlab: {},
    config: { observability: { tracing: tracing(receiver) } },
    env: { OTEL_BSP_SCHEDULE_DELAY: '50', OTEL_RESOURCE_ATTRIBUTES: 'deployment.environment=test' },
  });
  return { cluster, receiver, gitlab: cluster.gitlab as FakeGitLab };
}

test('baggage and state of a client’s trace go to the cluster as they are, and nowhere else', async (t) => {
  const { cluster, gitlab } = await tracedCluster(t, ({ origin }) => ({ otlp_endpoint: `${origin}/v1/traces` }));
  const context = { ...foreign, baggage: 'tenant=a%20b;p=1, user=eve', tracestate: 'vendor=opaque,other=1' };
  const { text } = await cluster.ask({ path: '/headers', token: 'ci:1:job-agent', headers: context });
  const { baggage, tracestate, traceparent } = JSON.parse(text) as Record<string, string>;
  assert.deepEqual({ baggage, tracestate, traceparent }, context);
  assert.ok(gitlab.requests.length > 0);
  for (const { headers, path } of gitlab.requests) {
    assert.deepEqual([headers.baggage, headers.tracestate], [undefined, undefined], path);
  }
  await cluster.stop();
});

test('a proxied request is a trace of its own, down to GitLab', async (t) => {
  const { cluster, receiver, gitlab } = await tracedCluster(t, ({ origin }) => ({
    otlp_endpoint: `${origin}/v1/traces`,
  }));
  const answer = await cluster.ask({ path: '/ok', token: 'ci:1:job-agent', headers: foreign });
  assert.equal(answer.body.toString(), 'ok');
  const request = await receiver.span('k8s-proxy', ({ links }) => links.length > 0);
  assert.deepEqual(
    [request.kind, request.parentSpanId, request.links, request.error],
    ['server', '', ['0af7651916cd43dd8448eb211c80319c'], undefined],
  );
  assert.deepEqual(request.attributes, { 'http.request.method': 'GET', agent_id: 1, 'http.response.status_code': 200 });
  assert.deepEqual(
    [request.resource['service.name'], request.resource['deployment.environment']],
    ['gitlab-kas', 'test'],
  );
  const ofIt = receiver.spans.filter(({ traceId }) => traceId === request.traceId);
  assert.deepEqual(ofIt.map(({ name, kind }) => `${name} ${kind}`).sort(), [
    'GitLab GET client',
    'k8s-proxy server',
    'routing internal',
    'tunnel client',
  ]);
  for (const span of ofIt) if (span !== request) assert.equal(span.parentSpanId, request.spanId, span.name);
  const tunnel = ofIt.find(({ name }) => name === 'tunnel');
  assert.deepEqual(tunnel?.attributes, { 'rpc.method': PROXIED, 'rpc.grpc.status_code': 0 });

  const asked = gitlab.requestsTo(ALLOWED_AGENTS)[0];
  const call = ofIt.find(({ name }) => name === 'GitLab GET');
  assert.equal(asked?.headers.traceparent, `00-${request.traceId}-${call?.spanId}-01`);
  assert.equal(call?.attributes['url.path'], ALLOWED_AGENTS);

  const exec = await rawConnection(cluster.server.endpoints.kubernetesApi);
  exec.write(
    'GET /k8s-proxy/exec HTTP/1.1\r\nHost: k\r\nAuthorization: Bearer ci:1:job-agent\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n',
  );
  assert.match(await exec.readUntil('\r\n\r\n'), /^HTTP\/1.1 101 /);
  exec.close();
  await receiver.span('k8s-proxy', ({ attributes }) => attributes['http.response.status_code'] === 101);
  await cluster.stop();
  assert.doesNotMatch(JSON.stringify(receiver.spans), /job-agent|agent-token/);
});

test('an agent’s call is part of the agent’s trace, and has what is asked of GitLab for it', async (t) => {
  const { cluster, receiver, gitlab } = await tracedCluster(t, ({ origin }) => ({
    otlp_endpoint: `${origin}/v1/traces`,
  }));
  const register = await receiver.span('gitlab.agent.agent_registrar.rpc.AgentRegistrar/Register');
  assert.deepEqual([register.kind, register.error], ['server', undefined]);
  const info = await receiver.span('GitLab GET', ({ attributes }) =>
    String(attributes['url.path']).endsWith('/agent_info'),
  );
  assert.match(
    gitlab.requestsTo(String(info.attributes['url.path']))[0]?.headers.traceparent?.toString() ?? '',
    new RegExp(info.traceId),
  );
  await cluster.stop();
});

test('what an agent’s configuration costs at Gitaly is part of the agent’s call', async (t) => {
  const receiver = await startOtlpReceiver();
  t.after(() => receiver.close());
  const gitaly = await startGitaly();
  t.after(() => gitaly.close());
  const repository = await gitaly.createRepository('p/71.git');
  await repository.commit({ '.gitlab/agents/agent-71/config.yaml': 'ci_access: {}\n' });
  const gitlab = await startGitLab();
  t.after(() => gitlab.close());
  const place = { address: gitaly.address, token: gitaly.token };
  const project = { path: 'group/project-71', repositoryPath: repository.relativePath, gitaly: place };
  gitlab.agents.set('agent-token-71', { id: 71, name: 'agent-71', projectId: 1071, project });
  const server = await startServer({
    gitlab,
    config: { observability: { tracing: { otlp_endpoint: `${receiver.origin}/v1/traces` } } },
    env: { OTEL_BSP_SCHEDULE_DELAY: '50' },
  });
  t.after(() => server.kill());
  const agent = await grpcConnection(server.endpoints.agent);
  t.after(() => agent.close());
  const call = agent.call(`/${CONFIGURATION}`, { token: 'agent-token-71', headers: foreign });
  call.sendMessage(ConfigurationRequestSchema, { skipRegister: true });
  call.halfClose();
  await call.nextMessage(ConfigurationResponseSchema);
  const [, traceId] = foreign.traceparent.split('-');
  for (const name of ['gitaly.SmartHTTPService/InfoRefsUploadPack', 'gitaly.CommitService/TreeEntry']) {
    const span = await receiver.span(name, (one) => one.traceId === traceId);
    assert.deepEqual([span.kind, span.error], ['client', undefined]);
    assert.equal(span.attributes['rpc.method'], name);
    const sent = gitaly.calls.find(({ path }) => path === `/${name}`);
    assert.equal(sent?.headers.traceparent, `00-${traceId}-${span.spanId}-01`);
  }
  const line = await server.waitForLog('of the commit', ({ msg }) => msg === 'Config: new commit');
  assert.equal(line.trace_id, traceId);
  call.cancel();
  const whole = await receiver.span(CONFIGURATION, (one) => one.traceId === traceId);
  assert.equal(whole.kind, 'server');
  await server.stop();
});

test('whoever is refused gets the trace to show to an administrator, who finds it in the log', async (t) => {
  const { cluster, receiver } = await tracedCluster(t, ({ origin }) => ({ otlp_endpoint: `${origin}/v1/traces` }));
  const answer = await cluster.ask({ path: '/ok', token: null });
  const [, traceId] = /\. Trace ID: ([0-9a-f]{32})$/.exec(JSON.parse(answer.body.toString()).message) ?? [];
  assert.ok(traceId !== undefined, answer.body.toString());
  const line = await cluster.server.waitForLog('of the refusal', ({ msg }) => msg === 'Unauthorized');
  assert.equal(line.trace_id, traceId);
  const whole = await cluster.server.waitForLog(
    'of the request',
    (l) => l.msg === 'Proxied request' && l.status === 401,
  );
  assert.equal(whole.trace_id, traceId);
  const span = await receiver.span('k8s-proxy', (one) => one.traceId === traceId);
  assert.equal(span.attributes['http.response.status_code'], 401);
  const unacceptable = await cluster.ask({ path: '/ok', token: null, headers: { accept: 'text/html' } });
  assert.match(unacceptable.body.toString(), /\. Trace ID: [0-9a-f]{32}\n$/);
  await cluster.stop();
});

test('the token goes to the very path; a collector that refuses costs a line and no request', async (t) => {
  const tokenFile = join(mkdtempSync(join(tmpdir(), 'otlp-')), 'token');
  writeFileSync(tokenFile, ' glpat-collector\n');
  const { cluster, receiver } = await tracedCluster(t, (to) => {
    to.status = 401;
    return { otlp_endpoint: `${to.origin}/a/b?c=d`, otlp_token_secret_file: tokenFile };
  });
  assert.equal((await cluster.ask({ path: '/ok', token: 'ci:1:job-agent' })).status, 200);
  const line = await cluster.server.waitForLog('of the refusal', ({ msg }) => msg === 'OpenTelemetry error');
  assert.equal(line.level, 'warn');
  assert.equal(line.error, `traces export: POST ${receiver.origin}/a/b: HTTP status code: 401`);
  assert.deepEqual(
    [receiver.requests[0]?.url, receiver.requests[0]?.headers['private-token']],
    ['/a/b?c=d', 'glpat-collector'],
  );
  await cluster.stop();
  assert.doesNotMatch(cluster.server.stderr(), /glpat-collector/);
});

test('the last spans are sent before the end, within five seconds if nobody takes them', async (t) => {
  const receiver = await startOtlpReceiver();
  t.after(() => receiver.close());
  const tracing = (endpoint: string) => ({ config: { observability: { tracing: { otlp_endpoint: endpoint } } } });
  const server = await startServer(tracing(`${receiver.origin}/v1/traces`));
  const { host, port } = server.endpoints.kubernetesApi;
  await fetch(`http://${host}:${port}/x`);
  assert.equal(receiver.spans.length, 0);
  await server.stop();
  assert.equal(receiver.spans[0]?.name, 'k8s-proxy');

  const nobody = await startServer(tracing('http://127.0.0.1:9/v1/traces'));
  await fetch(`http://${nobody.endpoints.kubernetesApi.host}:${nobody.endpoints.kubernetesApi.port}/x`);
  const startedAt = performance.now();
  await nobody.stop();
  assert.ok(performance.now() - startedAt < 7000);
});
