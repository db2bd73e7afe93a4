import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { MessageInitShape } from '@bufbuild/protobuf';
import { Code, createClient, createRouterTransport } from '@connectrpc/connect';
import { recordingLog, withoutCorrelation } from '../../../test/support/recording_log.ts';
import {
  ConfigurationProject,
  type ListAgentConfigFilesRequestSchema,
} from '../../gen/gitlab/agent/configuration_project/rpc/configuration_project_pb.ts';
import type { GitalyClient } from '../../gitaly/client.ts';
import { GitalyError } from '../../gitaly/gitaly_error.ts';
import { Hint } from '../../observability/hints.ts';
import { createErrorInterceptor } from '../../rpc/call_error.ts';
import { AppError } from '../../runtime/app_error.ts';
import { StatusCode } from '../../runtime/status_code.ts';
import { createConfigurationProject } from './configuration_project.ts';

function setUp(listFiles: GitalyClient['listFiles']) {
  const { log, lines } = recordingLog();
  const transport = createRouterTransport(createConfigurationProject({ gitaly: { listFiles }, log }), {
    router: { interceptors: [createErrorInterceptor(log)] },
  });
  return { client: createClient(ConfigurationProject, transport), lines };
}

const request = {
  repository: {
    storageName: 'default',
    relativePath: 'p/1.git',
    glRepository: 'project-1',
    glProjectPath: 'group/one',
  },
  gitalyInfo: { address: 'tcp://gitaly', token: 't' },
  defaultBranch: 'main',
};
const listing =
  (...paths: string[]): GitalyClient['listFiles'] =>
  () =>
    Promise.resolve(paths.map((path) => ({ path, commitId: 'c' })));

test('only configuration files of agents with proper names are listed', async () => {
  const { client } = setUp(
    listing(
      '.gitlab/agents/a/config.yaml',
      '.gitlab/agents/a-1/config.yaml',
      '.gitlab/agents/a/config.yml',
      '.gitlab/agents/A/config.yaml',
      '.gitlab/agents/-a/config.yaml',
      '.gitlab/agents/a-/config.yaml',
      '.gitlab/agents/a/b/config.yaml',
      '.gitlab/agents/config.yaml',
    ),
  );
  const { configFiles } = await client.listAgentConfigFiles(request);
  assert.deepEqual(
    configFiles.map(({ name, agentName }) => [name, agentName]),
    [
      ['.gitlab/agents/a/config.yaml', 'a'],
      ['.gitlab/agents/a-1/config.yaml', 'a-1'],
    ],
  );
});

test('the branch is a name, a reference, or the head', async () => {
  const asked: string[] = [];
  const { client } = setUp((_at, { revision, path }) => {
    asked.push(`${revision} ${path}`);
    return Promise.resolve([]);
  });
  for (const defaultBranch of ['main', 'refs/heads/main', '']) {
    await client.listAgentConfigFiles({ ...request, defaultBranch });
  }
  assert.deepEqual(asked, ['refs/heads/main .gitlab/agents', 'refs/heads/main .gitlab/agents', 'HEAD .gitlab/agents']);
});

test('Gitaly has no longer than the caller', async () => {
  let timeoutMs: number | undefined;
  const { client } = setUp((_at, _folder, options) => {
    timeoutMs = options.timeoutMs;
    return Promise.resolve([]);
  });
  await client.listAgentConfigFiles(request);
  assert.equal(timeoutMs, undefined);
  await client.listAgentConfigFiles(request, { timeoutMs: 5000 });
  assert.ok(timeoutMs !== undefined && timeoutMs > 4000 && timeoutMs <= 5000, String(timeoutMs));
});

test('a branch or folder that is not there has no files', async () => {
  const { client, lines } = setUp(() => Promise.reject(new GitalyError('NotFound', 'GetTreeEntries')));
  assert.deepEqual((await client.listAgentConfigFiles(request)).configFiles, []);
  assert.deepEqual(lines, []);
});

test('a Gitaly in trouble is Unavailable, an address that is none InvalidArgument; both are in the log', async () => {
  for (const [failure, code] of [
    [new GitalyError('RpcError', 'GetTreeEntries', { detail: 'down' }), Code.Unavailable],
    [new AppError(StatusCode.InvalidArgument, 'no address'), Code.InvalidArgument],
  ] as const) {
    const { client, lines } = setUp(() => Promise.reject(failure));
    await assert.rejects(client.listAgentConfigFiles(request), { code, rawMessage: `PathFetcher: ${failure.message}` });
    const fields = {
      grpc_service: 'gitlab.agent.configuration_project.rpc.ConfigurationProject',
      grpc_method: 'ListAgentConfigFiles',
      project_id: 'group/one',
      error: failure.message,
      hint: Hint.gitaly,
    };
    assert.deepEqual(withoutCorrelation(lines), [{ level: 'error', message: 'PathFetcher', fields }]);
  }
});

test('what is missing is named, and Gitaly is not asked', async () => {
  const { client } = setUp(() => assert.fail('asked'));
  const refused = async (wrong: MessageInitShape<typeof ListAgentConfigFilesRequestSchema>, text: RegExp) => {
    await assert.rejects(client.listAgentConfigFiles(wrong), (error: Error & { code?: Code; rawMessage?: string }) => {
      assert.equal(error.code, Code.InvalidArgument);
      assert.match(error.rawMessage ?? '', text);
      return true;
    });
  };
  await refused({ gitalyInfo: request.gitalyInfo }, /ListAgentConfigFilesRequest\.Repository: value is required/);
  await refused({ repository: request.repository }, /ListAgentConfigFilesRequest\.GitalyInfo: value is required/);
  await refused({ ...request, gitalyInfo: { address: '' } }, /GitalyInfo.*GitalyInfo\.Address/);
});
