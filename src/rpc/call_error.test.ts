import assert from 'node:assert/strict';
import { test } from 'node:test';
import { create } from '@bufbuild/protobuf';
import {
  Code,
  ConnectError,
  type ConnectRouter,
  createClient,
  createRouterTransport,
  type Transport,
  type UnaryRequest,
} from '@connectrpc/connect';
import { type RecordedLine, recordingLog, withoutCorrelation } from '../../test/support/recording_log.ts';
import { GetServerInfoResponseSchema, ServerInfo } from '../gen/gitlab/agent/server_info/rpc/server_info_pb.ts';
import { Health } from '../gen/grpc/health/v1/health_pb.ts';
import { Hint } from '../observability/hints.ts';
import { AppError } from '../runtime/app_error.ts';
import { StatusCode } from '../runtime/status_code.ts';
import { createErrorInterceptor } from './call_error.ts';

function served(routes: (router: ConnectRouter) => void): { transport: Transport; lines: RecordedLine[] } {
  const { log, lines } = recordingLog();
  const transport = createRouterTransport(routes, { router: { interceptors: [createErrorInterceptor(log)] } });
  return { transport, lines };
}

const asked = (transport: Transport) => createClient(ServerInfo, transport).getServerInfo({});
const fails = (code: Code, rawMessage: string) => (error: unknown) => {
  assert.ok(error instanceof ConnectError);
  assert.deepEqual([error.code, error.rawMessage], [code, rawMessage]);
  return true;
};

test('an AppError is shown as it is', async () => {
  const { transport, lines } = served((router) =>
    router.service(ServerInfo, {
      getServerInfo: () => Promise.reject(new AppError(StatusCode.Unavailable, 'the store is away')),
    }),
  );
  await assert.rejects(asked(transport), fails(Code.Unavailable, 'the store is away'));
  assert.deepEqual(lines, []);
});

test('a defect is Internal, and its text in the log only', async () => {
  const { transport, lines } = served((router) =>
    router.service(ServerInfo, {
      getServerInfo() {
        throw new TypeError('secret');
      },
    }),
  );
  await assert.rejects(asked(transport), fails(Code.Internal, 'internal error'));
  const message = 'Unknown gRPC error in "/gitlab.agent.server_info.rpc.ServerInfo/GetServerInfo"';
  assert.deepEqual(withoutCorrelation(lines), [
    { level: 'error', message, fields: { error: 'secret', hint: Hint.defect } },
  ]);
});

test('the same for what fails in the middle of a stream', async () => {
  const { transport, lines } = served((router) =>
    router.service(Health, {
      async *watch() {
        yield { status: 1 };
        throw new Error('secret');
      },
    }),
  );
  const heard: number[] = [];
  const watching = async () => {
    for await (const { status } of createClient(Health, transport).watch({})) heard.push(status);
  };
  await assert.rejects(watching, fails(Code.Internal, 'internal error'));
  assert.deepEqual(heard, [1]);
  assert.equal(lines.length, 1);
});

test('a call ends at its deadline, and when its client goes, whatever its handler does', async () => {
  for (const [reason, code, text] of [
    [new ConnectError('timed out', Code.DeadlineExceeded), Code.DeadlineExceeded, 'context deadline exceeded'],
    [new ConnectError('reset', Code.Canceled), Code.Canceled, 'context canceled'],
    [undefined, Code.Canceled, 'context canceled'],
  ] as const) {
    for (const early of [true, false]) {
      const { log, lines } = recordingLog();
      const controller = new AbortController();
      const { getServerInfo: method } = ServerInfo.method;
      const request = { stream: false, service: ServerInfo, method, signal: controller.signal };
      if (early) controller.abort(reason);
      const outcome = createErrorInterceptor(log)(() => new Promise(() => {}))(request as unknown as UnaryRequest);
      controller.abort(reason);
      await assert.rejects(outcome, fails(code, text));
      assert.deepEqual(lines, []);
    }
  }
});

test('a call that succeeds is left alone', async () => {
  const { transport } = served((router) =>
    router.service(ServerInfo, { getServerInfo: () => ({ currentServerInfo: { version: 'v1' } }) }),
  );
  const expected = create(GetServerInfoResponseSchema, { currentServerInfo: { version: 'v1' } });
  assert.deepEqual(await asked(transport), expected);
});
