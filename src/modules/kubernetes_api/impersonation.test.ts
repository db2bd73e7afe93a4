import assert from 'node:assert/strict';
import { test } from 'node:test';
import { create, fromBinary, fromJson, type JsonValue } from '@bufbuild/protobuf';
import { AnySchema, anyUnpack } from '@bufbuild/protobuf/wkt';
import {
  type AllowedAgentsForJob,
  AllowedAgentsForJobSchema,
  AuthorizeProxyUserResponseSchema,
} from '../../gen/gitlab/agent/gitlab/api/api_pb.ts';
import { HeaderExtraSchema } from '../../gen/gitlab/agent/kubernetes_api/rpc/kubernetes_api_pb.ts';
import { AppError } from '../../runtime/app_error.ts';
import { encodeHeaderExtra, jobIdentity, userIdentity } from './impersonation.ts';

function job(accessAs: JsonValue | undefined, environment?: JsonValue): AllowedAgentsForJob {
  return fromJson(AllowedAgentsForJobSchema, {
    allowed_agents: [
      { id: 7, config_project: { id: 8 }, configuration: accessAs === undefined ? {} : { access_as: accessAs } },
    ],
    job: { id: 1 },
    pipeline: { id: 2 },
    project: { id: 3, groups: [{ id: 5 }, { id: 4 }] },
    user: { id: 6, username: 'bob' },
    ...(environment === undefined ? {} : { environment }),
  });
}

function identityOf(answer: AllowedAgentsForJob) {
  return jobIdentity(answer, answer.allowedAgents[0]!);
}

test('a job acts as the agent only where the answer says so', () => {
  assert.equal(identityOf(job(undefined)), undefined);
  assert.equal(identityOf(job({ agent: {} })), undefined);
  assert.throws(() => identityOf(job({})), AppError);
  const noConfiguration = job(undefined);
  noConfiguration.allowedAgents[0]!.configuration = undefined;
  assert.equal(identityOf(noConfiguration), undefined);
});

test('a job acts as itself, without an environment', () => {
  assert.deepEqual(identityOf(job({ ci_job: {} })), {
    username: 'gitlab:ci_job:1',
    groups: ['gitlab:ci_job', 'gitlab:group:5', 'gitlab:group:4', 'gitlab:project:3'],
    uid: '',
    extra: [
      { key: 'agent.gitlab.com/id', val: ['7'] },
      { key: 'agent.gitlab.com/config_project_id', val: ['8'] },
      { key: 'agent.gitlab.com/project_id', val: ['3'] },
      { key: 'agent.gitlab.com/ci_pipeline_id', val: ['2'] },
      { key: 'agent.gitlab.com/ci_job_id', val: ['1'] },
      { key: 'agent.gitlab.com/username', val: ['bob'] },
    ],
  });
});

test('a job acts as itself, in an environment', () => {
  const identity = identityOf(job({ ci_job: {} }, { slug: 'prod', tier: 'production' }));
  assert.deepEqual(identity?.groups, [
    'gitlab:ci_job',
    'gitlab:group:5',
    'gitlab:group_env_tier:5:production',
    'gitlab:group:4',
    'gitlab:group_env_tier:4:production',
    'gitlab:project:3',
    'gitlab:project_env:3:prod',
    'gitlab:project_env_tier:3:production',
  ]);
  assert.deepEqual(identity?.extra.slice(-2), [
    { key: 'agent.gitlab.com/environment_slug', val: ['prod'] },
    { key: 'agent.gitlab.com/environment_tier', val: ['production'] },
  ]);
});

test('an incomplete answer is nobody', () => {
  const answer = job({ ci_job: {} });
  answer.project = undefined;
  assert.throws(() => identityOf(answer), AppError);
});

test('a user acts with roles, or as the agent, never as something unknown', () => {
  const answer = fromJson(AuthorizeProxyUserResponseSchema, {
    agent: { id: 7, config_project: { id: 8 } },
    user: { id: 6, username: 'bob' },
    access_as: { user: { projects: [{ id: 3, roles: ['a', 'b'] }], groups: [{ id: 4, roles: ['c'] }] } },
  });
  assert.deepEqual(userIdentity(answer, 'session_cookie'), {
    username: 'gitlab:user:bob',
    groups: ['gitlab:user', 'gitlab:project_role:3:a', 'gitlab:project_role:3:b', 'gitlab:group_role:4:c'],
    uid: '',
    extra: [
      { key: 'agent.gitlab.com/id', val: ['7'] },
      { key: 'agent.gitlab.com/username', val: ['bob'] },
      { key: 'agent.gitlab.com/access_type', val: ['session_cookie'] },
      { key: 'agent.gitlab.com/config_project_id', val: ['8'] },
    ],
  });
  const asAgent = fromJson(AuthorizeProxyUserResponseSchema, { access_as: { agent: {} } });
  assert.equal(userIdentity(asAgent, 'session_cookie'), undefined);
  assert.throws(
    () => userIdentity(create(AuthorizeProxyUserResponseSchema, { accessAs: {} }), 'session_cookie'),
    AppError,
  );
  assert.throws(() => userIdentity(create(AuthorizeProxyUserResponseSchema), 'session_cookie'), AppError);
});

test('the identity travels as an Any of HeaderExtra', () => {
  assert.equal(encodeHeaderExtra(undefined), undefined);
  const identity = { username: 'u', groups: ['g', 'h'], uid: 'i', extra: [{ key: 'k', val: ['v', 'w'] }] };
  const any = fromBinary(AnySchema, encodeHeaderExtra(identity)!);
  assert.equal(any.typeUrl, 'type.googleapis.com/gitlab.agent.kubernetes_api.rpc.HeaderExtra');
  const config = anyUnpack(any, HeaderExtraSchema)?.impConfig;
  assert.equal(config?.username, 'u');
  assert.deepEqual(config?.groups, ['g', 'h']);
  assert.equal(config?.uid, 'i');
  assert.deepEqual(
    config?.extra.map(({ key, val }) => [key, val]),
    [['k', ['v', 'w']]],
  );
});

test('an identity without a name is refused: agents would take it for their own', () => {
  assert.throws(() => encodeHeaderExtra({ username: '', groups: ['g'], uid: '', extra: [] }), AppError);
  const answer = job({ impersonate: { username: 'x' } });
  assert.deepEqual(identityOf(answer), { username: 'x', groups: [], uid: '', extra: [] });
});
