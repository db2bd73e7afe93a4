import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { Code, createClient, createRouterTransport } from '@connectrpc/connect';
import { recordingLog, withoutCorrelation } from '../../../test/support/recording_log.ts';
import type { GitPushEvent } from '../../gen/gitlab/agent/event/event_pb.ts';
import { Notifications } from '../../gen/gitlab/agent/notifications/rpc/notifications_pb.ts';
import { Hint } from '../../observability/hints.ts';
import { createErrorInterceptor } from '../../rpc/call_error.ts';
import { createNotifications } from './notifications.ts';

function setUp(publish: (event: GitPushEvent) => Promise<void>) {
  const { log, lines } = recordingLog();
  const interceptors = [createErrorInterceptor(log)];
  const transport = createRouterTransport(createNotifications({ events: { publish }, log }), {
    router: { interceptors },
  });
  return { client: createClient(Notifications, transport), lines };
}

const push = { event: { project: { id: 7n, fullPath: 'a/b' } } };

test('a push is passed on, and answered without waiting for that', async () => {
  const published: unknown[] = [];
  const { client } = setUp((event) => {
    published.push([event.project?.id, event.project?.fullPath]);
    return new Promise(() => {});
  });
  await client.gitPushEvent(push);
  assert.deepEqual(published, [[7n, 'a/b']]);
});

test('that it could not be passed on is in the log', async () => {
  const { client, lines } = setUp(() => Promise.reject(new Error('store down')));
  await client.gitPushEvent(push);
  await nextTurn();
  const message = 'Failed to publish received git push event';
  const call = { grpc_service: 'gitlab.agent.notifications.rpc.Notifications', grpc_method: 'GitPushEvent' };
  const fields = {
    ...call,
    project_id: 'a/b',
    error: 'store down',
    hint: `${Hint.store}; agents learn of the push at their next poll`,
  };
  assert.deepEqual(withoutCorrelation(lines), [{ level: 'error', message, fields }]);
});

test('a push of nothing is refused, and not passed on', async () => {
  const published: GitPushEvent[] = [];
  const { client } = setUp((event) => {
    published.push(event);
    return Promise.resolve();
  });
  for (const request of [
    {},
    { event: {} },
    { event: { project: { id: 7n } } },
    { event: { project: { fullPath: 'a' } } },
  ]) {
    await assert.rejects(client.gitPushEvent(request), { code: Code.InvalidArgument });
  }
  assert.deepEqual(published, []);
});
