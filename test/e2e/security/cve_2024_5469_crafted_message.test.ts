// CVE-2024-5469: a crafted gRPC message, with a part missing that was taken for granted, ended the server. Whoever has a token
// of any agent, or none, must not be able to.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import type { Cluster } from '../../support/cluster.ts';
import { startEchoCluster } from '../../support/echo_cluster.ts';
import type { Endpoint } from '../../support/endpoint.ts';
import { grpcConnection } from '../../support/grpc_client.ts';
import { delay, within } from '../../support/wait.ts';

const rpc = (name: string) => `/gitlab.agent.${name}`;
const methods = {
  agent: [
    rpc('reverse_tunnel.rpc.ReverseTunnel/Connect'),
    rpc('agent_registrar.rpc.AgentRegistrar/Register'),
    rpc('agent_registrar.rpc.AgentRegistrar/Unregister'),
    rpc('agent_configuration.rpc.AgentConfiguration/GetConfiguration'),
    rpc('gitops.rpc.Gitops/GetObjectsToSynchronize'),
    rpc('flux.rpc.GitLabFlux/ReconcileProjects'),
    rpc('gitlab_access.rpc.GitlabAccess/MakeRequest'),
    rpc('kubernetes_api.rpc.KubernetesApi/MakeRequest'),
    '/grpc.reflection.v1.ServerReflection/ServerReflectionInfo',
    '/x.Y/Z',
    '//',
  ],
  api: [
    rpc('agent_tracker.rpc.AgentTracker/GetConnectedAgents'),
    rpc('configuration_project.rpc.ConfigurationProject/ListAgentConfigFiles'),
    rpc('notifications.rpc.Notifications/GitPushEvent'),
    '/grpc.health.v1.Health/Check',
    '/grpc.reflection.v1.ServerReflection/ServerReflectionInfo',
  ],
  privateApi: [rpc('kubernetes_api.rpc.KubernetesApi/MakeRequest'), '/grpc.health.v1.Health/Check'],
} as const;

/** Each field of the first fifteen, empty; each field as another type; nesting without end; numbers without end. */
function crafted(): Buffer[] {
  const messages: Buffer[] = [Buffer.alloc(0)];
  for (let field = 1; field <= 15; field++) {
    messages.push(Buffer.from([(field << 3) | 2, 0])); // an empty message or text
    messages.push(Buffer.from([(field << 3) | 2, 2, (1 << 3) | 2, 0])); // one with an empty message in it
    messages.push(Buffer.from([field << 3, ...Array<number>(9).fill(0xff), 1])); // -1
    messages.push(Buffer.from([(field << 3) | 2, 0xff, 0xff, 0xff, 0xff, 0x0f])); // 4 GiB that do not follow
    messages.push(Buffer.from([(field << 3) | 3])); // a group that does not end
    messages.push(Buffer.from([(field << 3) | 7])); // a wire type that there is not
  }
  let nested: Buffer = Buffer.alloc(0);
  for (let depth = 0; depth < 5000; depth++) nested = wrap(nested);
  messages.push(nested, Buffer.alloc(20_000, (1 << 3) | 3), Buffer.alloc(100_000, 0xff), Buffer.from('00', 'hex'));
  return messages;
}

/** As field 1 of another message. */
function wrap(inner: Buffer): Buffer {
  const length: number[] = [];
  let rest = inner.length;
  for (; rest > 0x7f; rest >>>= 7) length.push((rest & 0x7f) | 0x80);
  return Buffer.concat([Buffer.from([(1 << 3) | 2, ...length, rest]), inner]);
}

describe('crafted messages', () => {
  let cluster: Cluster;
  before(async () => {
    cluster = await startEchoCluster();
  });
  after(() => cluster.stop());

  for (const port of ['agent', 'api', 'privateApi'] as const)
    test(`on ${port}: each call ends with a status or waits, and the server lives`, { timeout: 60_000 }, async () => {
      const endpoint: Endpoint = cluster.server.endpoints[port];
      const connection = await grpcConnection(endpoint);
      const ends: Promise<unknown>[] = [];
      for (const path of methods[port])
        for (const token of port === 'agent' ? ['agent-token-2', undefined] : [undefined])
          for (const message of crafted()) {
            const call = connection.call(path, { token });
            call.send(message);
            call.halfClose();
            ends.push(call.status.then(({ code }) => code));
          }
      // Some are well-formed, and wait for what an agent would wait for.
      await Promise.race([Promise.all(ends), delay(3000)]);
      connection.close();
      await within('the end of all calls', 5000, Promise.all(ends));
      assert.equal((await cluster.ask({ path: '/x', token: 'ci:1:job-agent' })).status, 200);
      const defects = cluster.server.log.filter(({ msg }) => /^Defect|^Unknown gRPC error/.test(msg));
      assert.deepEqual(defects, []);
    });
});
