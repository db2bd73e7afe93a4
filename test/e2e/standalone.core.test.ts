// Without GitLab: agents and users from the configuration file.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { create } from '@bufbuild/protobuf';
import { RegisterRequestSchema } from '../../src/gen/gitlab/agent/agent_registrar/rpc/agent_registrar_pb.ts';
import { type Handler, startBackend } from '../support/backend.ts';
import { type Cluster, startCluster } from '../support/cluster.ts';
import { grpcConnection } from '../support/grpc_client.ts';

const who: Handler = (request, response) => {
  response.setHeader('content-type', 'application/json');
  response.end(JSON.stringify(request.headers));
};

describe('standalone', () => {
  let cluster: Cluster;
  before(async () => {
    cluster = await startCluster({ backend: await startBackend({ paths: { '/who': who } }), agents: [1, 2] });
  });
  after(() => cluster.stop());

  async function identity(token: string) {
    const answer = await cluster.ask({ path: '/who', token });
    const headers = answer.status === 200 ? (JSON.parse(answer.text) as Record<string, string>) : {};
    return { status: answer.status, user: headers['impersonate-user'], group: headers['impersonate-group'] };
  }

  test('a user for all agents acts as each of them', async () => {
    assert.deepEqual(await identity('pat:1:alice-pat'), { status: 200, user: undefined, group: undefined });
    assert.deepEqual(await identity('pat:2:alice-pat'), { status: 200, user: undefined, group: undefined });
  });

  test('a user of one agent is that user there and nobody elsewhere', async () => {
    assert.deepEqual(await identity('pat:1:bob-pat'), { status: 200, user: 'gitlab:user:bob', group: 'gitlab:user' });
    assert.equal((await identity('pat:2:bob-pat')).status, 401);
  });

  test('a configured identity is impersonated', async () => {
    const answer = await cluster.ask({ path: '/who', token: 'pat:1:carol-pat' });
    const impersonated = Object.entries(JSON.parse(answer.text) as Record<string, string>).filter(([name]) =>
      name.startsWith('impersonate-'),
    );
    assert.deepEqual(Object.fromEntries(impersonated), {
      'impersonate-user': 'imp',
      'impersonate-group': 'g1, g2',
      'impersonate-uid': 'u1',
      'impersonate-extra-a%2fb': 'x, y',
    });
  });

  test('a wrong token is refused, and so is what only GitLab can check', async () => {
    assert.equal((await identity('pat:1:nobody')).status, 401);
    assert.notEqual((await identity('ci:1:job-agent')).status, 200);
    assert.notEqual((await identity('ci:1:job-agent')).status, 502, 'refused before the agent is asked');
  });

  test('an agent with a wrong token is refused by name of the reason', async () => {
    const connection = await grpcConnection(cluster.server.endpoints.agent);
    const call = connection.call('/gitlab.agent.agent_registrar.rpc.AgentRegistrar/Register', {
      token: 'no-such-token',
    });
    call.sendMessage(
      RegisterRequestSchema,
      create(RegisterRequestSchema, { agentMeta: { version: 'v19.3.0' }, podId: 1n }),
    );
    call.halfClose();
    assert.deepEqual(await call.status, { code: 16, message: 'unauthenticated' });
    connection.close();
  });

  test('what needs GitLab is unimplemented', async () => {
    const connection = await grpcConnection(cluster.server.endpoints.agent);
    for (const path of [
      '/gitlab.agent.gitlab_access.rpc.GitlabAccess/MakeRequest',
      '/gitlab.agent.flux.rpc.GitLabFlux/ReconcileProjects',
      '/gitlab.agent.gitops.rpc.Gitops/GetObjectsToSynchronize',
    ]) {
      const call = connection.call(path);
      call.halfClose();
      assert.equal((await call.status).code, 12, path);
    }
    connection.close();
  });
});
