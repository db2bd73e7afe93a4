import assert from 'node:assert/strict';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { test } from 'node:test';
import { configurationReference } from '../config/reference.ts';

const repository = new URL('../../', import.meta.url);
const page = readFileSync(new URL('docs/security.md', repository), 'utf8');
const quoted = [...page.matchAll(/`([^`\n]+)`/g)].map(([, text = '']) => text);

test('docs/security.md names files that there are', () => {
  const files = quoted.filter((text) => /^(src|test|docs|scripts)\//.test(text));
  assert.ok(files.length > 40);
  assert.deepEqual(
    files.filter((file) => !existsSync(new URL(file, repository))),
    [],
  );
});

test('it names keys that there are', () => {
  const reference = configurationReference();
  const keys = quoted.filter((text) =>
    /^(server|agent|gitlab|api|private_api|redis|observability)\.[a-z_.]+$/.test(text),
  );
  assert.ok(keys.length > 10);
  assert.deepEqual(
    keys.filter((key) => !reference.includes(`\`${key}\``)),
    [],
  );
});

test('its table has each limit, and each key of server.limits', () => {
  const source = readFileSync(new URL('src/observability/limits.ts', repository), 'utf8');
  const union = /type LimitName =([^;]+);/.exec(source)?.[1] ?? '';
  const names = [...union.matchAll(/'(\w+)'/g)].map(([, name = '']) => name);
  assert.ok(names.length > 8);
  const rows = [...page.matchAll(/^\| `(\w+)` \| `/gm)].map(([, name = '']) => name);
  assert.deepEqual(names.toSorted(), rows.toSorted());
  for (const [, key = ''] of configurationReference().matchAll(/`(server\.limits\.\w+)`/g))
    assert.ok(quoted.includes(key), key);
});

test('each test of test/e2e/security is on the page', () => {
  for (const name of readdirSync(new URL('test/e2e/security/', repository)))
    assert.ok(quoted.includes(`test/e2e/security/${name}`), name);
});
