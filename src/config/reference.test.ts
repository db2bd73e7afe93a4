import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { configurationReference } from './reference.ts';
import type { Fields } from './schema/field.ts';
import { rootSection } from './sections/root.ts';

test('docs/configuration.md has the table of all keys', () => {
  const page = readFileSync(new URL('../../docs/configuration.md', import.meta.url), 'utf8');
  assert.ok(page.endsWith(`\n${configurationReference()}`), 'run scripts/node scripts/configuration_reference.ts');
});

test('the reference says of every key what it means', () => {
  const reference = configurationReference();
  const visit = (parent: string, keys: Fields): void => {
    for (const [name, field] of Object.entries(keys)) {
      const path = parent === '' ? name : `${parent}.${name}`;
      assert.match(field.doc, /^\S.*\.$/, path);
      assert.ok(reference.includes(`\`${path}\``), path);
      visit(field.type === 'list of sections' ? `${path}[]` : path, field.keys ?? {});
    }
  };
  visit('', rootSection.keys ?? {});
});
