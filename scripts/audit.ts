// Audits what becomes part of the executable: exact versions, allowed licences, checksums, no install scripts, no native code.
// `--online` also asks the registry for known vulnerabilities.
import { spawnSync } from 'node:child_process';
import { globSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import process from 'node:process';
import { dependencyFaults } from './lib/dependency_rules.ts';
import { root } from './lib/repository.ts';

const read = (name: string) => JSON.parse(readFileSync(join(root, name), 'utf8'));
const faults = dependencyFaults(read('package.json'), read('package-lock.json'), (folder) =>
  globSync('**/*', { cwd: join(root, folder), exclude: (name) => name === 'node_modules' }),
);

interface Report {
  readonly vulnerabilities?: Readonly<Record<string, { readonly severity: string }>>;
}

if (process.argv.includes('--online')) {
  const { stdout } = spawnSync('npm', ['audit', '--omit=dev', '--json'], {
    cwd: root,
    encoding: 'utf8',
    timeout: 60_000,
  });
  let report: Report = {};
  try {
    report = JSON.parse(stdout);
  } catch {
    // No answer at all: said below.
  }
  if (report.vulnerabilities === undefined) console.log('audit: the registry does not tell of vulnerabilities here');
  for (const [name, { severity }] of Object.entries(report.vulnerabilities ?? {})) {
    faults.push(`${name}: known to be vulnerable (${severity}), see npm audit`);
  }
}
for (const fault of faults) console.error(fault);
process.exitCode = faults.length === 0 ? 0 : 1;
