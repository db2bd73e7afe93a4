import assert from 'node:assert/strict';
import { globSync, readFileSync } from 'node:fs';
import { test } from 'node:test';

const repository = new URL('../../', import.meta.url);
const page = readFileSync(new URL('docs/protocol/logs.md', repository), 'utf8');
const chapter = page.split(/^## Upstream's lines$/m)[1]?.split(/^## /m)[0] ?? '';
const [served = '', absent = ''] = chapter.split('| not here | because |');
const source = globSync('src/**/*.ts', { cwd: repository, exclude: ['src/gen/**'] })
  .filter((file) => !file.endsWith('.test.ts'))
  .map((file) => readFileSync(new URL(file, repository), 'utf8'))
  .join('\n');

const quoted = (text: string): string[] => [...text.matchAll(/`([^`\n]+)`/g)].map(([, one = '']) => one);

/** The longest part that does not change; some are a name and `() failed`. */
function fixedPart(message: string): string {
  return message.split(/…|(?=\(\) failed)/).sort((a, b) => b.length - a.length)[0] ?? '';
}

test('the lines of upstream that docs/protocol/logs.md lists are written somewhere', () => {
  const messages = quoted(served).filter((text) => text !== '…');
  assert.ok(messages.length > 70, String(messages.length));
  for (const message of messages) {
    // The names of listeners are put in front of the rest.
    const endpoint = /^(.*) endpoint is up$/.exec(message)?.[1];
    const written = endpoint === undefined ? fixedPart(message) : `'${endpoint}'`;
    assert.ok(source.includes(written), `${message}: nothing writes it`);
  }
});

test('those that it says are not here are not, and have a reason', () => {
  const rows = absent.split('\n').filter((row) => /^\| `/.test(row));
  assert.ok(rows.length > 8);
  for (const row of rows) {
    const [names = '', why = ''] = row.slice(2).split(' | ');
    assert.ok(why.length > 10, row);
    for (const name of quoted(names)) {
      // A name may be the end of another one.
      const written = [`'${name}'`, `\`${name}\``].some((literal) => source.includes(literal));
      assert.ok(!written, `${name} is written`);
    }
  }
});
