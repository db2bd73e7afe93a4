import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { create, toBinary } from '@bufbuild/protobuf';
import { agentInfo, ScriptedAgents } from '../../../test/support/doubles/agents.ts';
import { frame } from '../../../test/support/doubles/grpc_frames.ts';
import { playedCall } from '../../../test/support/doubles/server_call.ts';
import { ConnectRequestSchema } from '../../gen/gitlab/agent/reverse_tunnel/rpc/reverse_tunnel_pb.ts';
import { AppError } from '../../runtime/app_error.ts';
import { StatusCode } from '../../runtime/status_code.ts';
import { TunnelRegistry } from '../../tunnel/registry.ts';
import { createConnect, isConnect } from './connect.ts';

const descriptor = frame(
  toBinary(
    ConnectRequestSchema,
    create(ConnectRequestSchema, {
      msg: {
        case: 'descriptor',
        value: { agentDescriptor: { services: [{ name: 's', methods: [{ name: 'M' }] }] } },
      },
    }),
  ),
);

function setUp(agents: ScriptedAgents) {
  const tunnels = new TunnelRegistry({ appeared() {}, emptied() {} });
  const connect = createConnect({ agents, tunnels });
  return { tunnels, played: playedCall(), connect };
}

test('a known agent has its tunnel at once', () => {
  const agents = new ScriptedAgents('never');
  agents.known = agentInfo;
  const { tunnels, played, connect } = setUp(agents);
  assert.equal(connect.path, '/gitlab.agent.reverse_tunnel.rpc.ReverseTunnel/Connect');
  assert.equal(connect.handle(played.call, 'token'), undefined);
  played.stream.receive(descriptor);
  assert.equal(tunnels.take(42n, '/s/M')?.agentId, 42n);
});

test('an agent that has to be asked about has its tunnel afterwards', async () => {
  const { tunnels, played, connect } = setUp(new ScriptedAgents(agentInfo));
  await connect.handle(played.call, 'token');
  played.stream.receive(descriptor);
  assert.ok(tunnels.take(42n, '/s/M'));
});

test('an agent that is refused gets its status', async () => {
  const refused = new AppError(StatusCode.Unauthenticated, 'unauthenticated');
  const { played, connect } = setUp(new ScriptedAgents(refused));
  await assert.rejects(async () => connect.handle(played.call, 'token'), refused);
});

test('a tunnel whose connection got old meanwhile ends with OK', async () => {
  const { played, connect } = setUp(new ScriptedAgents('never'));
  const handled = connect.handle(played.call, 'token');
  await nextTurn();
  played.session.reachAge();
  await handled;
  assert.equal(played.status(), '0 ');
});

test('Connect is known under the packages it may have', () => {
  assert.ok(isConnect('/gitlab.agent.reverse_tunnel.rpc.ReverseTunnel/Connect'));
  assert.ok(isConnect('/gitlab.agent.tunnel.v2.ReverseTunnel/Connect'));
  for (const path of [
    '/gitlab.agent.ReverseTunnel/Other',
    '/x.ReverseTunnel/Connect',
    '/gitlab.agent.a/ReverseTunnel/Connect',
  ])
    assert.ok(!isConnect(path), path);
});
