// What is true of the built executable only, not of the source on a runtime.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { copyFileSync, mkdtempSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import process from 'node:process';
import { test } from 'node:test';
import { launchCommand } from '../support/launch.ts';

const { flavour, command } = launchCommand();
const skip = flavour === 'executable' ? false : `runs on ${flavour}`;

test('--version names the release of GitLab, the commit and the time of the build', { skip }, () => {
  const line = execFileSync(command, ['--version'], { encoding: 'utf8' });
  assert.match(line, /v\d+\.\d+\.\d+, commit: [0-9a-f]{8,}, built: 20\d{6}\.\d{6}, build \d+\.\d+\.\d+/);
});

test('it needs nothing from the repository, and no node', { skip }, () => {
  const folder = mkdtempSync(join(tmpdir(), 'kas-executable-'));
  try {
    const copy = join(folder, 'kas');
    copyFileSync(command, copy);
    const line = execFileSync(copy, ['--version'], { cwd: folder, env: {}, encoding: 'utf8' });
    assert.match(line, /^gitlab-kas /);
  } finally {
    rmSync(folder, { recursive: true });
  }
});

test('NODE_OPTIONS means nothing to it', { skip }, () => {
  const env = { ...process.env, NODE_OPTIONS: '--require /nonexistent.cjs' };
  assert.match(execFileSync(command, ['--version'], { env, encoding: 'utf8' }), /^gitlab-kas /);
});

test('it is not larger than 125 MB', { skip }, () => {
  assert.ok(statSync(command).size <= 125e6, `${statSync(command).size} bytes`);
});
