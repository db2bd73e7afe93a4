// docs/operations.md has no case that no test makes, and no test makes a case that is not there.
import assert from 'node:assert/strict';
import { globSync, readFileSync } from 'node:fs';
import { test } from 'node:test';
import { root } from '../../support/launch.ts';
import { troubles } from '../../support/operations_page.ts';

test('each case of the page is made by a test', () => {
  const sources = globSync('test/e2e/operations/*.test.ts', { cwd: root }).map((file) =>
    readFileSync(`${root}${file}`, 'utf8'),
  );
  const made = sources.flatMap((source) => [...source.matchAll(/^trouble\('([^']+)'/gm)].map(([, title]) => title));
  assert.deepEqual(made.sort(), [...troubles().keys()].sort());
  for (const { title, line, text } of troubles().values()) assert.ok(line ?? text, `${title} shows nothing`);
});
