// Which cluster and which credentials the test agent takes from a kubeconfig.
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { loadCluster } from '../../support/agent/kubeconfig.ts';

function kubeconfig(t: TestContext, server: string, user: string): string {
  const folder = mkdtempSync(join(tmpdir(), 'kubeconfig-'));
  t.after(() => rmSync(folder, { recursive: true }));
  const path = join(folder, 'config');
  writeFileSync(join(folder, 'token'), 'first\n');
  writeFileSync(
    path,
    `clusters: [{name: c, cluster: {server: "${server}", certificate-authority-data: ${Buffer.from('a CA').toString('base64')}}}]
users: [{name: u, user: ${user}}]
contexts: [{name: x, context: {cluster: c, user: u}}]
current-context: x
`,
  );
  return path;
}

test('credentials go to https only', (t) => {
  const plain = loadCluster({ path: kubeconfig(t, 'http://k:8080', '{token: secret}') }, {});
  assert.equal(plain.server, 'http://k:8080');
  assert.equal(plain.authorization, undefined);
  const tls = loadCluster({ path: kubeconfig(t, 'https://k', '{token: secret}') }, {});
  assert.equal(tls.ca, 'a CA');
  assert.equal(tls.authorization?.(), 'Bearer secret');
});

test('a token file is read again each time, relative to the kubeconfig', (t) => {
  const path = kubeconfig(t, 'https://k', '{tokenFile: token}');
  const cluster = loadCluster({ path }, {});
  assert.equal(cluster.authorization?.(), 'Bearer first');
  writeFileSync(join(path, '../token'), 'second');
  assert.equal(cluster.authorization?.(), 'Bearer second');
});

test('user name and password', (t) => {
  const cluster = loadCluster({ path: kubeconfig(t, 'https://k', '{username: a, password: b}') }, {});
  assert.equal(cluster.authorization?.(), 'Basic YTpi');
});

test('$KUBECONFIG, and the identity of --as', (t) => {
  const path = kubeconfig(t, 'http://k', '{}');
  const cluster = loadCluster({ as: 'jane', asGroups: ['devs'] }, { KUBECONFIG: path });
  assert.deepEqual(cluster.impersonate, { username: 'jane', groups: ['devs'], uid: '', extra: [] });
});

test('what cannot be used is refused', (t) => {
  assert.throws(
    () => loadCluster({ path: kubeconfig(t, 'https://k', '{exec: {command: x}}') }, {}),
    /users with exec are not supported/,
  );
  assert.throws(
    () => loadCluster({ path: kubeconfig(t, 'http://k', '{}'), context: 'y' }, {}),
    /context "y" does not exist/,
  );
  assert.throws(() => loadCluster({}, { HOME: '/nonexistent' }), /no configuration has been provided/);
});
