// server.agent_compression, and what an agent of a server without GitLab is told.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { test } from 'node:test';
import {
  ConfigurationRequestSchema,
  ConfigurationResponseSchema,
} from '../../src/gen/gitlab/agent/agent_configuration/rpc/agent_configuration_pb.ts';
import { grpcConnection } from '../support/grpc_client.ts';
import { startServer } from '../support/server.ts';
import { within } from '../support/wait.ts';

const path = '/gitlab.agent.agent_configuration.rpc.AgentConfiguration/GetConfiguration';

for (const [name, config, accepts, expected] of [
  ['by default answers are plain, though the agent compresses', {}, 'gzip', [undefined, 0]],
  ['with agent_compression they are compressed', { server: { agent_compression: true } }, 'gzip', ['gzip', 1]],
  ['but not for an agent that does not take that', { server: { agent_compression: true } }, 'identity', [undefined, 0]],
] as const)
  test(name, async () => {
    const server = await startServer({ config });
    const connection = await grpcConnection(server.endpoints.agent);
    try {
      const call = connection.call(path, { gzip: accepts === 'gzip', headers: { 'grpc-accept-encoding': accepts } });
      const firstBytes = once(call.stream, 'data') as Promise<[Buffer]>;
      call.sendMessage(ConfigurationRequestSchema, {});
      call.halfClose();
      const { 'grpc-encoding': encoding } = await within('the answer', 10_000, call.headers);
      const [[flag]] = await within('the message', 10_000, firstBytes);
      assert.deepEqual([encoding, flag], expected);

      const { configuration, commitId } = await call.nextMessage(ConfigurationResponseSchema);
      assert.match(commitId, /^[0-9a-f]{40}$/);
      assert.equal(configuration?.agentId, 1n);
      // Whatever the server had to say before it answers a ping has arrived then.
      await new Promise((resolve) => connection.session.ping(resolve));
      assert.equal(call.stream.closed, false, 'the stream stays open');
      call.cancel();
    } finally {
      connection.close();
      await server.stop();
    }
  });
