// The starts that were recorded from upstream: exit status and the one line that says why. Texts of problems are our own.
import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, test } from 'node:test';
import { runToEnd } from '../support/server.ts';

interface StartCase {
  readonly name: string;
  readonly config?: string;
  readonly args: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
  readonly exit: number | string;
}

/** Where this server means to behave otherwise, or where a second server is needed. */
const notHere = new Map([
  ['redis-down', 'the server starts, and waits for Redis while it serves'],
  ['private-wildcard', 'all addresses of the machine are taken'],
  ['port-in-use-observability', 'needs a server that has the port'],
  ['port-in-use-agent', 'needs a server that has the port'],
]);

const folder = mkdtempSync(join(tmpdir(), 'kas-starts-'));
after(() => rmSync(folder, { recursive: true }));
const file = (name: string, content: string): string => {
  writeFileSync(join(folder, name), content);
  return join(folder, name);
};
const key = Buffer.alloc(32, 9).toString('base64');
file('short.secret', Buffer.from('abc').toString('base64'));
file('bad.secret', 'abc!');
file('nl.secret', `${key.slice(0, 20)}\r\n${key.slice(20)}\n`);
file('space.secret', `${key} `);
const secret = file('api.secret', key);

function fill(config: string): string {
  return config
    .replaceAll(/<(API|PRIVATE)_SECRET_FILE>/g, secret)
    .replaceAll('<GITLAB>', '127.0.0.1:9')
    .replaceAll(/<[A-Z_]+>/g, '127.0.0.1:0');
}

const vectors: { cases: StartCase[] } = JSON.parse(
  readFileSync(new URL('../vectors/observability/startup.json', import.meta.url), 'utf8'),
);

describe('recorded starts', () => {
  for (const { name, config, args, env, exit } of vectors.cases) {
    test(name, {
      skip: notHere.get(name) ?? (env === undefined ? false : 'the environment is looked at elsewhere'),
    }, async () => {
      const path = file('c.yaml', config === undefined ? '' : fill(config));
      const filled = args.map((arg) => (arg === 'c.yaml' ? path : arg));
      // A server that starts would have to be stopped again; looking at its configuration goes as far as counts here.
      const runs = exit === 0 || exit === 1;
      const { status, stdout, stderr } = await runToEnd(runs ? filled : ['check-config', path]);
      assert.equal(status, runs ? exit : 0, stderr);
      if (exit !== 1) return;
      assert.equal(stdout, '');
      assert.equal(stderr.split('Program aborted: ').length, 2, stderr);
      assert.ok(stderr.startsWith('Program aborted: '), stderr);
    });
  }
});
