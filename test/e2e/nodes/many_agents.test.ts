// A node with many agents leaves. How it is with thousands: npm run bench -- leaving.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { withoutGo } from '../../support/go_program.ts';
import { haProxyProgram } from '../../support/haproxy.ts';
import { leaveWithAgents } from '../../support/leaving_node.ts';
import { reportLine } from '../../support/load.ts';
import { noRedis } from '../../support/redis.ts';

const skip =
  noRedis || withoutGo || (haProxyProgram() === undefined && 'no haproxy here: install it (Debian: haproxy)');
if (skip) process.stderr.write(`SKIPPED: a node of many agents leaves: ${skip}\n`);

const fewQuestions = {
  agents: 400,
  // Without what GitLab has said to the first node the last agent would wait for more than a minute.
  otherConfig: { gitlab: { api_rate_limit: { refill_rate_per_second: 5, bucket_size: 50 } } },
};

test('a node of 400 agents leaves: all are at the other node within 10 s, though GitLab may be asked about 50 at once', {
  skip,
  timeout: 120_000,
}, async (t) => {
  const { status, exitMs, elsewhereMs, load, askedOfGitLab } = await leaveWithAgents(t, {
    ...fewQuestions,
    signal: 'SIGTERM',
    listenGraceSeconds: 2,
    elsewhereWithinMs: 12_000,
  });
  t.diagnostic(reportLine(`400 agents change nodes in ${elsewhereMs} ms, the node ends after ${exitMs} ms`, load));
  assert.equal(status, 0);
  assert.ok(load.sent > 200, `${load.sent} requests`);
  assert.deepEqual(load.lost, []);
  assert.ok(askedOfGitLab < 40, `${askedOfGitLab} questions about agents`);
});

test('kill -9 of a node of 400 agents: all are at the other node within 5 s, though GitLab may be asked about 50 at once', {
  skip,
  timeout: 120_000,
}, async (t) => {
  const { elsewhereMs, load, askedOfGitLab } = await leaveWithAgents(t, {
    ...fewQuestions,
    signal: 'SIGKILL',
    listenGraceSeconds: 2,
    elsewhereWithinMs: 5000,
  });
  t.diagnostic(reportLine(`400 agents lose their node, and are at the other one after ${elsewhereMs} ms`, load));
  // What was in flight: a request of each client, and one more that the balancer had a connection for.
  assert.ok(load.lost.length <= 2 * 16, load.lost.join('\n'));
  assert.ok(askedOfGitLab < 40, `${askedOfGitLab} questions about agents`);
});
