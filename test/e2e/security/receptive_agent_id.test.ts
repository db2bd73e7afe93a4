// agent!1720: a receptive agent (one that the server dials) could claim to be another one, because its id was not compared with
// that of the token. There are no receptive agents here: the server dials no cluster. What is left of the item: an agent is who
// its token says, and nothing that it sends can make it another one.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { create } from '@bufbuild/protobuf';
import { AgentDescriptorSchema } from '../../../src/gen/gitlab/agent/reverse_tunnel/info/info_pb.ts';
import { ConnectRequestSchema } from '../../../src/gen/gitlab/agent/reverse_tunnel/rpc/reverse_tunnel_pb.ts';
import { startEchoCluster } from '../../support/echo_cluster.ts';
import { grpcConnection } from '../../support/grpc_client.ts';
import { delay } from '../../support/wait.ts';

test('nobody is dialled, whatever the configuration says of receptive agents', async () => {
  const cluster = await startEchoCluster({ config: { agent: { receptive_agent: { poll_interval: '0.1s' } } } });
  await delay(500);
  assert.deepEqual(
    cluster.gitlab?.requests.map(({ path }) => path).filter((path) => /receptive/.test(path)),
    [],
  );
  await cluster.stop();
});

test('a tunnel is that of the token’s agent, whatever else comes along', async () => {
  const cluster = await startEchoCluster({ agents: [] });
  const connection = await grpcConnection(cluster.server.endpoints.agent);
  const call = connection.call('/gitlab.agent.reverse_tunnel.rpc.ReverseTunnel/Connect', {
    token: 'agent-token-2',
    headers: { 'kas-hop-routing-agent-id': '1', 'gitlab-agent-id': '1', 'agent-id': '1' },
  });
  const services = [{ name: 'gitlab.agent.kubernetes_api.rpc.KubernetesApi', methods: [{ name: 'MakeRequest' }] }];
  const agentDescriptor = create(AgentDescriptorSchema, { services });
  call.sendMessage(ConnectRequestSchema, { msg: { case: 'descriptor', value: { agentDescriptor } } });
  // Agent 1's request must wait in vain, agent 2's arrive.
  const signal = AbortSignal.timeout(1500);
  const forOne = cluster.ask({ path: '/x', token: 'ci:1:job-agent', signal }).catch(() => 'waited in vain');
  const nothing = await Promise.race([call.next(60_000).then(() => 'a request'), delay(1000).then(() => 'nothing')]);
  assert.equal(nothing, 'nothing');
  assert.equal(await forOne, 'waited in vain');
  void cluster.ask({ path: '/x', token: 'ci:2:job-agent' }).catch(() => {});
  await delay(200);
  connection.close();
  await cluster.stop();
});
