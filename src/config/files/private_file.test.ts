import assert from 'node:assert/strict';
import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { Report } from '../problem.ts';
import { warnIfOpenToAll } from './private_file.ts';

test('a secret that everybody can read or replace is warned of, one in a private folder or of a group is not', (t) => {
  const root = mkdtempSync(join(tmpdir(), 'kas-modes-'));
  t.after(() => rmSync(root, { recursive: true }));
  const folder = join(root, 'etc');
  mkdirSync(folder);
  const file = join(folder, 'secret');
  writeFileSync(file, 'x');
  const warnings = (fileMode: number, rootMode = 0o755) => {
    chmodSync(file, fileMode);
    chmodSync(folder, 0o755);
    chmodSync(root, rootMode);
    const report = new Report('/');
    warnIfOpenToAll(file, 'a.key_file', report);
    return report.warnings.map(({ path, message }) => `${path}: ${message.replace(file, 'FILE')}`);
  };
  assert.deepEqual(warnings(0o644), ['a.key_file: every user of this machine can read FILE (mode 0644): chmod o-rwx']);
  assert.deepEqual(warnings(0o602), [
    'a.key_file: every user of this machine can write to FILE (mode 0602): chmod o-rwx',
  ]);
  for (const mode of [0o600, 0o640, 0o660, 0o400]) assert.deepEqual(warnings(mode), []);
  assert.deepEqual(warnings(0o644, 0o700), []);
  const report = new Report('/');
  warnIfOpenToAll(join(folder, 'not-there'), 'a', report);
  assert.deepEqual(report.warnings, []);
});
