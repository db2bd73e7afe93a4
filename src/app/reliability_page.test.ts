import assert from 'node:assert/strict';
import { globSync, readFileSync } from 'node:fs';
import { test } from 'node:test';

const repository = new URL('../../', import.meta.url);
const read = (path: string) => readFileSync(new URL(path, repository), 'utf8');
const page = read('docs/reliability.md');
const chapter = page.split(/^## /m).find((text) => text.startsWith('Several nodes\n')) ?? '';
/** Scenario, what happens, lost, times, test. */
const rows = [...chapter.matchAll(/^\| (.+) \| .+ \| .+ \|.*\| `(\S+\.test\.ts)` \|$/gm)].map(
  ([, scenario = '', file = '']) => ({ scenario, file: `test/e2e/${file}` }),
);

test('each scenario of docs/reliability.md has a test of its name in the file that the table names', () => {
  assert.ok(rows.length > 15);
  for (const { scenario, file } of rows) {
    const words = scenario.split('…').map((part) => part.replace(/[.*+?^${}()|[\]\\]/g, '\\$&'));
    // A test's name that is made of parts has expressions where the page has `…`.
    assert.match(read(file), new RegExp(`^ *(await )?(t\\.)?test\\([\`']${words.join('.*')}[\`']`, 'm'), scenario);
  }
});

test('each test of several nodes that says what was lost has its row', () => {
  const telling = globSync('test/e2e/nodes/*.test.ts', { cwd: repository }).filter((file) =>
    read(file).includes('reportLine('),
  );
  assert.ok(telling.length >= 4);
  for (const file of telling) {
    const told = rows.filter((row) => row.file === file).length;
    assert.ok(told > 0, `docs/reliability.md has no scenario of ${file}`);
  }
});
