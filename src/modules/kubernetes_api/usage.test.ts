import assert from 'node:assert/strict';
import { test } from 'node:test';
import { FakeClock } from '../../runtime/fake_clock.ts';
import { createMemoryStore } from '../../store/memory/memory_store.ts';
import { countUsage } from './usage.ts';

const forms = [
  ['ci_access', 'k8s_api_proxy_requests_via_ci_access'],
  ['user_access', 'k8s_api_proxy_requests_via_user_access'],
  ['pat_access', 'k8s_api_proxy_requests_via_pat_access'],
] as const;

for (const [accessForm, counter] of forms) {
  test(`${accessForm}: requests, users and agents under GitLab's names, one event for a user and project`, () => {
    const { usageCounters: usage } = createMemoryStore({ clock: new FakeClock() });
    for (const agentId of [1n, 2n, 1n]) countUsage(usage, { agentId, accessForm, userId: 22n, projectId: 55n });
    const users = `k8s_api_proxy_requests_unique_users_via_${accessForm}`;
    assert.deepEqual(usage.metrics(), {
      counters: new Map([
        ['k8s_api_proxy_request', 3],
        [counter, 3],
      ]),
      uniqueCounters: new Map([
        [`k8s_api_proxy_requests_unique_agents_via_${accessForm}`, [1n, 2n]],
        [users, [22n]],
      ]),
    });
    assert.deepEqual(usage.events(10), new Map([[users, [{ user_id: 22n, project_id: 55n }]]]));
  });
}

test('where the user or the project is not known, the rest is counted', () => {
  const { usageCounters: usage } = createMemoryStore({ clock: new FakeClock() });
  countUsage(usage, { agentId: 1n, accessForm: 'ci_access', userId: undefined, projectId: 55n });
  countUsage(usage, { agentId: 1n, accessForm: 'ci_access', userId: 22n, projectId: undefined });
  assert.equal(usage.metrics().counters.get('k8s_api_proxy_requests_via_ci_access'), 2);
  assert.deepEqual(usage.metrics().uniqueCounters.get('k8s_api_proxy_requests_unique_users_via_ci_access'), [22n]);
  assert.deepEqual(usage.events(10), new Map());
});
