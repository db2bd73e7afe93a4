// Who may call 8153, and what the others hear: the same in each protocol.
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { after, before, describe, test } from 'node:test';
import type { DescMessage } from '@bufbuild/protobuf';
import { AgentTracker } from '../../src/gen/gitlab/agent/agent_tracker/rpc/agent_tracker_pb.ts';
import { Notifications } from '../../src/gen/gitlab/agent/notifications/rpc/notifications_pb.ts';
import { ServerInfo } from '../../src/gen/gitlab/agent/server_info/rpc/server_info_pb.ts';
import { type FakeGitLab, startGitLab } from '../support/gitlab/gitlab.ts';
import { type InternalCaller, internalCallers, railsJwt } from '../support/internal_api.ts';
import { type RunningServer, startServer } from '../support/server.ts';

const OK = { code: 0, message: '' };
const refused = { code: 16, message: 'JWT validation failed' };
const notBearer = { code: 16, message: 'Request unauthenticated with bearer' };
const bad = { code: 16, message: 'Bad authorization string' };

describe('the JWT of the internal API', () => {
  let gitlab: FakeGitLab;
  let server: RunningServer;
  let callers: InternalCaller[];
  before(async () => {
    gitlab = await startGitLab();
    server = await startServer({ gitlab });
    callers = await internalCallers(server.endpoints.api, gitlab.secret);
  });
  after(async () => {
    for (const caller of callers) caller.close();
    await server.stop();
    await gitlab.close();
  });

  const now = () => Math.floor(Date.now() / 1000);
  const jwt = (claims: Record<string, unknown> = {}, alg?: string) => railsJwt(gitlab.secret, claims, alg);
  const unsigned = () => `${Buffer.from('{"alg":"none"}').toString('base64url')}.${jwt().split('.')[1]}.`;

  const table: [name: string, authorization: () => string | null, expected: typeof OK][] = [
    ['as Rails makes it', () => `bearer ${jwt()}`, OK],
    ['with the scheme in capitals', () => `BEARER ${jwt()}`, OK],
    ['signed with HS384', () => `Bearer ${jwt({}, 'HS384')}`, OK],
    ['signed with HS512', () => `Bearer ${jwt({}, 'HS512')}`, OK],
    ['with a list of audiences', () => `Bearer ${jwt({ aud: ['other', 'gitlab-kas'] })}`, OK],
    ['without issuer', () => `Bearer ${jwt({ iss: undefined })}`, OK],
    ['without times', () => `Bearer ${jwt({ exp: undefined, nbf: undefined, iat: undefined })}`, OK],
    ['missing', () => null, notBearer],
    ['another scheme', () => 'Basic YTpi', notBearer],
    ['no space', () => 'Bearer', bad],
    ['two spaces', () => `Bearer  ${jwt()}`, refused],
    ['no JWT', () => 'Bearer abc', refused],
    ['wrong: somebody else’s key', () => `Bearer ${railsJwt(randomBytes(32))}`, refused],
    ['wrong: claims changed after signing', () => `Bearer ${jwt().replace(/\.e/, '.f')}`, refused],
    ['wrong: not signed', () => `Bearer ${unsigned()}`, refused],
    ['expired', () => `Bearer ${jwt({ exp: now() - 1 })}`, refused],
    ['early', () => `Bearer ${jwt({ nbf: now() + 30 })}`, refused],
    ['foreign: another audience', () => `Bearer ${jwt({ aud: 'gitlab' })}`, refused],
    ['foreign: no audience', () => `Bearer ${jwt({ aud: undefined })}`, refused],
    ['an end that is no number', () => `Bearer ${jwt({ exp: 'tomorrow' })}`, refused],
  ];

  for (const [name, authorization, expected] of table) {
    test(name, async () => {
      for (const caller of callers) {
        const { status, response } = await caller.call(ServerInfo.method.getServerInfo, {}, authorization());
        assert.deepEqual(status, expected, caller.name);
        assert.equal(response === undefined, expected !== OK, caller.name);
      }
    });
  }

  test('is asked for by all methods, before the request is looked at', async () => {
    for (const method of [...Object.values(AgentTracker.method), ...Object.values(Notifications.method)]) {
      for (const caller of callers) {
        assert.deepEqual(
          (await caller.call<DescMessage, DescMessage>(method, {}, null)).status,
          notBearer,
          `${method.name} by ${caller.name}`,
        );
      }
    }
  });

  test('why it was refused is in the log, the token is not', async () => {
    const token = jwt({ exp: now() - 7 });
    await callers[0]!.call(ServerInfo.method.getServerInfo, {}, `Bearer ${token}`);
    const line = await server.waitForLog('the reason', ({ msg }) => msg === 'JWT validation failed');
    assert.equal(line.level, 'debug');
    assert.equal(line.grpc_service, 'gitlab.agent.server_info.rpc.ServerInfo');
    assert.equal(line.grpc_method, 'GetServerInfo');
    assert.match(String(line.error), /^token /);
    assert.doesNotMatch(server.stderr(), new RegExp(token.split('.')[2]!));
  });
});
