// What an administrator sees on the console.
import assert from 'node:assert/strict';
import { readFileSync, rmSync } from 'node:fs';
import { describe, test } from 'node:test';
import { runToEnd, startServer } from '../support/server.ts';

const agentAndUsers = (folder: string) => `standalone: { agents: [], users: [] }
observability: { listen: { address: "127.0.0.1:1" } }
agent: { listen: { network: unix, address: ${folder}/agent.sock } }
`;

describe('command line', () => {
  test('--version names the release that is served, and the build', async () => {
    const { status, stdout } = await runToEnd(['--version']);
    assert.equal(status, 0);
    assert.match(stdout, /v19\.3\.0/);
    assert.match(stdout, /commit: \S+, built: \S+/);
    assert.equal((await runToEnd(['-v'])).stdout, stdout);
  });

  test('--help explains the flags and commands', async () => {
    const { status, stdout } = await runToEnd(['--help']);
    assert.equal(status, 0);
    assert.match(stdout, /--configuration-file/);
    assert.match(stdout, /check-config/);
  });

  test('without its flag it says which one', async () => {
    const { status, stderr, stdout } = await runToEnd([]);
    assert.equal(status, 1);
    assert.equal(stdout, '');
    assert.match(stderr, /^Program aborted: .*configuration-file/m);
  });

  test('an unknown command is refused', async () => {
    const { status, stderr } = await runToEnd(['sevre']);
    assert.equal(status, 1);
    assert.match(stderr, /^Program aborted: .*sevre/m);
  });

  test('check-config accepts a good file and prints it with defaults, secrets left out', async () => {
    const server = await startServer();
    try {
      const good = await runToEnd(['check-config', server.configFile]);
      assert.equal(good.status, 0, good.stderr);
      const effective = await runToEnd(['check-config', '--effective', server.configFile]);
      assert.equal(effective.status, 0, effective.stderr);
      assert.match(effective.stdout, /shutdown_grace_period/);
      assert.match(effective.stdout, /max_connection_age/, 'a default is shown');
      const secret = readFileSync(server.places.websocketTokenSecretFile, 'utf8');
      assert.ok(!effective.stdout.includes(secret.slice(0, 20)), 'no secret is shown');
    } finally {
      await server.stop();
    }
  });

  test('check-config names place, key, value and a better one', async () => {
    const server = await startServer({
      ready: false,
      yaml: ({ folder }) => agentAndUsers(folder).replace('network: unix', 'network: tpc'),
    });
    await server.exited;
    const { status, stderr, stdout } = await runToEnd(['check-config', server.configFile]);
    assert.equal(status, 1);
    assert.match(
      stdout + stderr,
      /gitlab-kas-config\.yml:3:\d+: agent\.listen\.network: "tpc" is not one of tcp, tcp4, tcp6, unix \(did you mean tcp\?\)/,
    );
    await server.kill();
  });

  test('check-config opens the secrets', async () => {
    const server = await startServer();
    rmSync(server.places.websocketTokenSecretFile);
    const { status, stderr, stdout } = await runToEnd(['check-config', server.configFile]);
    assert.equal(status, 1);
    assert.match(stdout + stderr, /websocket_token\.secret/);
    await server.stop();
  });
});
