import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { recordingLog } from '../../test/support/recording_log.ts';
import { FakeClock } from '../runtime/fake_clock.ts';
import { SecretWatch } from './secret_watch.ts';

const AGENT_INFO = '/api/v4/internal/agents/agentk/agent_info';
const USAGE = '/api/v4/internal/kubernetes/usage_metrics';

/** A GitLab that answers the question with `status`. */
function setUp(status: number, date?: (nowMs: number) => string) {
  const clock = new FakeClock();
  const { log, lines } = recordingLog();
  const heard: (string | undefined)[] = [];
  const gitlab = { status, asked: 0 };
  const headers = () => (date === undefined ? {} : { date: date(clock.wallMs()) });
  const watch = new SecretWatch({
    clock,
    log,
    onChange: (trouble) => heard.push(trouble),
    ask() {
      gitlab.asked++;
      watch.heard(USAGE, { status: gitlab.status, headers: headers() });
      return gitlab.status === 204 ? Promise.resolve() : Promise.reject(new Error('refused'));
    },
  });
  const answer = (path: string, status: number) => watch.heard(path, { status, headers: headers() });
  const pass = async (ms: number) => {
    clock.advance(ms);
    await nextTurn();
  };
  return { watch, gitlab, heard, lines, answer, pass };
}

test('an agent that is refused makes GitLab be asked, and it is the secret', async () => {
  const { gitlab, heard, lines, answer, pass } = setUp(401);
  answer(AGENT_INFO, 401);
  await pass(1999);
  assert.equal(gitlab.asked, 0);
  await pass(1);
  assert.deepEqual([gitlab.asked, heard], [1, ['GitLab refuses the secret']]);
  const [line] = lines;
  assert.deepEqual([line?.level, line?.message, line?.fields.status], ['error', 'GitLab refuses the secret', 401]);
  assert.match(String(line?.fields.hint), /gitlab\.authentication_secret_file/);
  answer(AGENT_INFO, 401);
  await pass(60_000);
  assert.deepEqual([gitlab.asked, heard.length, lines.length], [2, 1, 1]); // told once
});

test('a bad token of an agent is no trouble, and asked for once a minute at most', async () => {
  const { gitlab, heard, answer, pass } = setUp(204);
  for (let second = 0; second < 120; second++) {
    answer(AGENT_INFO, 401);
    await pass(1000);
  }
  assert.deepEqual([gitlab.asked, heard], [2, []]);
});

test('nothing is asked if another call is accepted meanwhile', async () => {
  const { gitlab, answer, pass } = setUp(401);
  answer(AGENT_INFO, 401);
  answer(AGENT_INFO, 200);
  await pass(120_000);
  assert.equal(gitlab.asked, 0);
});

test('calls that need the secret only tell at once', () => {
  for (const name of ['usage_metrics', 'agent_events', 'agent_configuration']) {
    const { heard, answer } = setUp(401);
    answer(`/api/v4/internal/kubernetes/${name}`, 401);
    assert.equal(heard.length, 1, name);
  }
  const { heard, answer } = setUp(401);
  answer('/api/v4/internal/kubernetes/modules/x/usage_metrics', 401);
  assert.deepEqual(heard, []);
});

test('that it is mended shows without any agent', async () => {
  const { gitlab, heard, lines, answer, pass } = setUp(401);
  answer(USAGE, 401);
  await pass(60_000);
  await pass(60_000);
  gitlab.status = 204;
  await pass(60_000);
  assert.deepEqual(heard, ['GitLab refuses the secret', undefined]);
  assert.equal(lines.at(-1)?.message, 'GitLab takes the secret again');
  await pass(600_000);
  assert.equal(gitlab.asked, 3);
});

test('a GitLab in trouble says nothing of the secret', async () => {
  const { gitlab, heard, answer, pass } = setUp(502);
  for (const status of [0, 403, 404, 429, 500, 503]) answer(AGENT_INFO, status);
  answer('/api/v4/job/allowed_agents', 401);
  await pass(120_000);
  assert.equal(gitlab.asked, 0);
  answer(AGENT_INFO, 401);
  await pass(120_000);
  assert.deepEqual([gitlab.asked, heard], [1, []]);
});

for (const [ahead, isClock] of [
  [31, true],
  [30, false],
  [-5, false],
  [-6, true],
] as const) {
  test(`clocks that are ${ahead} s apart ${isClock ? 'are' : 'are not'} the reason`, () => {
    const { heard, lines, answer } = setUp(401, (nowMs) => new Date(nowMs + ahead * 1000).toUTCString());
    answer(USAGE, 401);
    assert.equal(heard[0], `GitLab refuses the secret${isClock ? `, its clock is ${ahead} s ahead of ours` : ''}`);
    assert.equal(lines[0]?.fields.gitlab_clock_ahead_seconds, isClock ? ahead : undefined);
    assert.match(String(lines[0]?.fields.hint), isClock ? /clock/ : /secret_file/);
  });
}

test('closed, it asks no more', async () => {
  const { watch, gitlab, answer, pass } = setUp(401);
  answer(USAGE, 401);
  watch.close();
  answer(AGENT_INFO, 401);
  await pass(600_000);
  assert.equal(gitlab.asked, 0);
});
