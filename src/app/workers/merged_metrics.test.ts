import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { linkedPair } from '../../../test/support/linked_pair.ts';
import { recordingLog } from '../../../test/support/recording_log.ts';
import { createMetrics } from '../../observability/metrics.ts';
import { FakeClock } from '../../runtime/fake_clock.ts';
import { Scope } from '../../runtime/scope.ts';
import { MergedMetrics } from './merged_metrics.ts';

const observed = (agents: number) => ({
  connectedAgents: () => Promise.resolve(agents),
  tunnels: () => ({ idle: 2, busy: 1, agents }),
  store: undefined,
  droppedLogLines: () => 1,
  peers: () => 0,
});

function setUp() {
  const scope = new Scope(new FakeClock());
  const worker = () => {
    const { here, there } = linkedPair();
    const metrics = createMetrics(observed(3), scope);
    there.on('worker.metrics', () => metrics.registry.getMetricsAsJSON());
    return { link: here, metrics, there };
  };
  const workers = [worker(), worker()] as const;
  const primary = createMetrics(observed(5), scope);
  const clock = new FakeClock();
  const { log, lines } = recordingLog();
  const links = () => workers.map(({ link }) => link);
  const merged = new MergedMetrics({ own: primary.registry, links, scope: new Scope(clock), log });
  const page = async () => (await primary.scrapes.page(undefined, undefined, () => merged.collect())).body.toString();
  return { primary, workers, clock, lines, page };
}

const samples = (page: string) => page.split('\n').filter((line) => line !== '' && !line.startsWith('#'));

test('counters, histograms and rate limits add up; what all workers know alike stands once', async () => {
  const { workers, page: scrape } = setUp();
  for (const { metrics } of workers) {
    metrics.agentRateExceeded.inc();
    metrics.observeLimiter('gitlab_client', '{refill/s}', 25)(3, true);
  }
  workers[0].metrics.fluxNotifications.inc();
  const page = samples(await scrape());
  for (const line of [
    'agent_server_rate_exceeded_total 2',
    'flux_git_push_notifications_total 1',
    'connected_agents_count 5',
    'gitlab_kas_agents 5',
    'gitlab_kas_tunnels{state="idle"} 6',
    'gitlab_kas_dropped_log_lines_total 3',
    'limiter_limit{limiter_name="gitlab_client",unit="{refill/s}",otel_scope_name="kas",otel_scope_version=""} 50',
    'limiter_block_duration_milliseconds_sum{allowed="true",limiter_name="gitlab_client",otel_scope_name="kas",otel_scope_version=""} 6',
  ]) {
    assert.ok(page.includes(line), `${line} is not in\n${page.join('\n')}`);
  }
  assert.match(page.find((line) => line.startsWith('gitlab_build_info')) ?? '', / 1$/);
});

test('the page has the names and the order that one server alone has', async () => {
  const { primary, page } = setUp();
  const names = (text: string) => text.split('\n').filter((line) => line.startsWith('# TYPE'));
  assert.deepEqual(names(await page()), names((await primary.scrapes.page(undefined, undefined)).body.toString()));
});

test('a worker that does not answer in time, or has ended, is left out and told of', async () => {
  const { workers, page, clock, lines } = setUp();
  workers[0].there.on('worker.metrics', () => new Promise(() => {}));
  const scraped = page();
  await nextTurn(); // the other one has answered
  clock.advance(2000);
  assert.ok(samples(await scraped).includes('gitlab_kas_tunnels{state="idle"} 4'));
  workers[1].link.break('worker 2 has ended');
  const last = page();
  await nextTurn();
  clock.advance(2000);
  assert.ok(samples(await last).includes('gitlab_kas_tunnels{state="idle"} 2'));
  assert.deepEqual(
    lines.map(({ message, fields }) => [message, fields.error]),
    [
      ['A worker is missing from the metrics', 'no answer within 2 s'],
      ['A worker is missing from the metrics', 'worker 2 has ended'],
      ['A worker is missing from the metrics', 'no answer within 2 s'],
    ],
  );
});
