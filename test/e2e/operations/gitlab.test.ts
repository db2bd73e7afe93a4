// docs/operations.md: what goes wrong between the server and GitLab, and how its log tells.
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { ConfigurationRequestSchema } from '../../../src/gen/gitlab/agent/agent_configuration/rpc/agent_configuration_pb.ts';
import { ObjectsToSynchronizeRequestSchema } from '../../../src/gen/gitlab/agent/gitops/rpc/gitops_pb.ts';
import { ServerInfo } from '../../../src/gen/gitlab/agent/server_info/rpc/server_info_pb.ts';
import { freePort } from '../../support/endpoint.ts';
import { startGitaly } from '../../support/gitaly/gitaly.ts';
import { type GitLabOptions, startGitLab } from '../../support/gitlab/gitlab.ts';
import { type GrpcConnection, grpcConnection } from '../../support/grpc_client.ts';
import { ask } from '../../support/http_client.ts';
import { internalCallers, railsJwt } from '../../support/internal_api.ts';
import type { ConfigTree } from '../../support/kas_config.ts';
import { launchCommand } from '../../support/launch.ts';
import { logs, type Shown, shows, trouble } from '../../support/operations_page.ts';
import { type RunningServer, startServer } from '../../support/server.ts';
import { makeTls } from '../../support/tls.ts';
import { eventually } from '../../support/wait.ts';

const CONFIGURATION = '/gitlab.agent.agent_configuration.rpc.AgentConfiguration/GetConfiguration';
const OBJECTS = '/gitlab.agent.gitops.rpc.Gitops/GetObjectsToSynchronize';

type GitLab = Awaited<ReturnType<typeof startGitLab>>;

/** A server with a GitLab, and an agent that asks for its configuration. */
async function withAgent(
  options: {
    readonly gitlab?: GitLabOptions;
    readonly config?: (gitlab: GitLab) => ConfigTree;
    readonly token?: string;
  },
  use: (place: {
    readonly server: RunningServer;
    readonly gitlab: GitLab;
    readonly call: ReturnType<GrpcConnection['call']>;
  }) => Promise<void>,
  prepare: (gitlab: GitLab) => void = () => {},
): Promise<void> {
  const gitlab = await startGitLab(options.gitlab);
  prepare(gitlab);
  const server = await startServer({ gitlab, config: options.config?.(gitlab) ?? {} });
  const agent = await grpcConnection(server.endpoints.agent);
  try {
    const call = agent.call(CONFIGURATION, { token: options.token ?? 'agent-token-1' });
    call.sendMessage(ConfigurationRequestSchema, { skipRegister: true });
    call.halfClose();
    await use({ server, gitlab, call });
  } finally {
    agent.close();
    await server.kill();
    await gitlab.close();
  }
}

trouble('GitLab refuses the connection', async (shown) => {
  const port = await freePort();
  await withAgent({ config: () => ({ gitlab: { address: `http://127.0.0.1:${port}` } }) }, async ({ server }) => {
    await logs(server, shown);
  });
});

trouble('GitLab’s certificate is signed by an unknown authority', async (shown) => {
  await withAgent({ gitlab: { tls: makeTls() } }, async ({ server }) => {
    await logs(server, shown);
  });
});

trouble('The scheme of gitlab.address is wrong', async (shown) => {
  const config = (gitlab: GitLab) => ({ gitlab: { address: gitlab.url.replace('http:', 'https:') } });
  await withAgent({ config }, async ({ server }) => {
    await logs(server, shown);
  });
});

trouble('GitLab answers 401, 403 or 404 to an agent', async (shown) => {
  const said: string[] = [];
  for (const status of [401, 403, 404]) {
    const prepare = (gitlab: GitLab) => void gitlab.fail('/agent_info', { status });
    await withAgent(
      {},
      async ({ server, call }) => {
        said.push(`${status}: ${(await call.status).message}`);
        await logs(server, { ...shown, line: { ...shown.line, status } });
      },
      prepare,
    );
  }
  shows(said.join(', '), shown);
});

trouble('GitLab refuses the secret', async (shown) => {
  for (const workers of [1, 2]) {
    if (workers > 1 && launchCommand().flavour === 'deno') continue;
    const gitlab = await startGitLab();
    const server = await startServer({
      gitlab: { ...gitlab, secret: randomBytes(32) },
      config: { server: { workers } },
    });
    const agent = await grpcConnection(server.endpoints.agent);
    const call = agent.call(CONFIGURATION, { token: 'agent-token-1' });
    call.sendMessage(ConfigurationRequestSchema, { skipRegister: true });
    call.halfClose();
    await logs(server, shown);
    const { observability } = server.endpoints;
    const readiness = await eventually('what the probe says', async () => {
      const answer = await ask(observability, { path: '/readiness' });
      return answer.text === '' ? undefined : answer;
    });
    assert.equal(readiness.status, 200);
    shows(readiness.text, { ...shown, text: workers > 1 ? shown.text?.replace(': degraded', '') : shown.text });
    assert.match(readiness.text, workers > 1 ? /^worker \d: degraded: gitlab: / : /^gitlab: degraded: /);
    const { text } = await ask(observability, { path: '/metrics' });
    assert.match(text, /^gitlab_kas_gitlab_secret_refused 1$/m);
    agent.close();
    await server.kill();
    await gitlab.close();
  }
});

trouble('The clocks of GitLab and of this node differ', async (shown) => {
  await withAgent({ gitlab: { clockAheadMs: 3_600_000 } }, async ({ server }) => {
    const line = await logs(server, shown);
    assert.ok(Math.abs(Number(line.gitlab_clock_ahead_seconds) - 3600) < 60);
    const { status, text } = await ask(server.endpoints.observability, { path: '/readiness' });
    assert.equal(status, 200);
    shows(text, shown);
  });
});

trouble('GitLab answers 502', async (shown) => {
  const prepare = (gitlab: GitLab) => void gitlab.fail('/agent_info', { status: 502 });
  await withAgent({}, async ({ server }) => void (await logs(server, shown)), prepare);
});

trouble('Something else answers in GitLab’s place', async (shown) => {
  const page = { status: 200, contentType: 'text/html', body: '<html>' };
  const prepare = (gitlab: GitLab) => void gitlab.fail('/agent_info', page);
  await withAgent({}, async ({ server }) => void (await logs(server, shown)), prepare);
});

trouble('Gitaly cannot be reached', async (shown) => {
  await withAgent({}, async ({ server }) => void (await logs(server, shown)));
});

trouble('GitLab’s calls are refused: clock or secret', async (shown) => {
  const gitlab = await startGitLab();
  const server = await startServer({ gitlab });
  const callers = await internalCallers(server.endpoints.api, gitlab.secret);
  const past = Math.floor(Date.now() / 1000) - 3600;
  const late = railsJwt(gitlab.secret, { iat: past, nbf: past - 5, exp: past + 60 });
  const reply = await callers[0]!.call(ServerInfo.method.getServerInfo, {}, `Bearer ${late}`);
  assert.equal(reply.status.code, 16);
  await logs(server, shown);
  for (const caller of callers) caller.close();
  await server.stop();
  await gitlab.close();
});

trouble('A user’s session or token cannot be checked', async (shown) => {
  const gitlab = await startGitLab();
  gitlab.fail('/authorize_proxy_user', { status: 500 });
  const server = await startServer({ gitlab });
  const headers = { authorization: 'Bearer pat:1:alice-pat' };
  const answer = await ask(server.endpoints.kubernetesApi, { path: '/k8s-proxy/api', headers });
  shows(JSON.parse(answer.text).message, shown);
  await logs(server, shown);
  await server.stop();
  await gitlab.close();
});

async function withRepository(files: Readonly<Record<string, string>>, shown: Shown): Promise<void> {
  const gitaly = await startGitaly();
  const repository = await gitaly.createRepository('p/71.git');
  await repository.commit(files);
  const place = { address: gitaly.address, token: gitaly.token };
  const project = { path: 'group/project-71', repositoryPath: repository.relativePath, gitaly: place };
  const prepare = (gitlab: GitLab) =>
    void gitlab.agents.set('agent-token-71', { id: 71, name: 'agent-71', projectId: 1071, project });
  await withAgent({ token: 'agent-token-71' }, async ({ server }) => void (await logs(server, shown)), prepare);
  await gitaly.close();
}

trouble('The agent’s configuration file is wrong', (shown) =>
  withRepository({ '.gitlab/agents/agent-71/config.yaml': 'ci_access:\n  projects: [\n' }, shown),
);

trouble('Configuration file not found', (shown) =>
  withRepository({ '.gitlab/agents/agent-71/config.yml': 'ci_access: {}\n' }, shown),
);

trouble('GitOps: the project’s whereabouts are unknown', async (shown) => {
  const gitlab = await startGitLab();
  gitlab.fail('/internal/kubernetes/project_info', { status: 500 });
  const server = await startServer({ gitlab, config: { agent: { gitops: { poll_period: '600s' } } } });
  const agent = await grpcConnection(server.endpoints.agent);
  const call = agent.call(OBJECTS, { token: 'agent-token-1' });
  const paths = [{ path: { case: 'glob' as const, value: '**/*.yaml' } }];
  call.sendMessage(ObjectsToSynchronizeRequestSchema, { projectId: 'group/project-1001', paths });
  call.halfClose();
  await logs(server, shown);
  agent.close();
  await server.kill();
  await gitlab.close();
});
