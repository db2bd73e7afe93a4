// Builds dist/gitlab-kas: one bundle of the source, inside a copy of the pinned Node ("single executable application"); beside
// it the bill of its materials (gitlab-kas.cdx.json, CycloneDX) and the checksums of both (SHA256SUMS).
//   --arch x64|arm64   for another architecture than this machine's; the file is then dist/gitlab-kas-ARCH
//   --if-stale         only when a source file is newer than the executable
//   --bundle FILE      the bundle alone, for `deno task compile`
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  chmodSync,
  closeSync,
  copyFileSync,
  existsSync,
  globSync,
  mkdirSync,
  openSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';
import process from 'node:process';
import { parseArgs } from 'node:util';
import { build } from 'esbuild';
import { root } from './lib/repository.ts';
import { bundledPackages, cyclonedx, type Lock } from './lib/sbom.ts';

const architectures = ['x64', 'arm64'];
/** Less resident memory for the same processor time (docs/performance.md, what was decided by measuring). */
const V8_OPTIONS = [
  // When much survives, as while a crowd of agents arrives, the young generation grows to this, and copies less; the collection after the crowd
  // makes it small again. Requests leave nothing that makes it grow, and cost less with little of it. Never smaller than that either.
  '--max-semi-space-size=16',
  '--min-semi-space-size=2',
  // When a crowd has come and the process is quiet (src/runtime/quiet_heap.ts) the heap is collected after a second, not after eight, and also in the
  // first half minute.
  '--memory-reducer-delay-ms=1000',
  '--gc-memory-reducer-start-delay-ms=1000',
];
const dist = join(root, 'dist');
const lock: Lock = JSON.parse(readFileSync(join(root, 'package-lock.json'), 'utf8'));

function commit(): string {
  try {
    return execFileSync('git', ['rev-parse', '--short=8', 'HEAD'], { cwd: root, encoding: 'utf8' }).trim();
  } catch {
    return '00000000'; // A source archive without git.
  }
}

function builtAt(now: Date): string {
  return now.toISOString().slice(0, 19).replace(/[-:]/g, '').replace('T', '.');
}

/** Returns the packages of which anything is in the bundle. */
async function bundle(outfile: string): Promise<string[]> {
  const info = { commit: commit(), builtAt: builtAt(new Date()), build: lock.version };
  const { metafile } = await build({
    entryPoints: [join(root, 'src', 'main.ts')],
    outfile,
    bundle: true,
    metafile: true,
    absWorkingDir: root,
    platform: 'node',
    format: 'esm',
    target: 'node26',
    logLevel: 'warning',
    legalComments: 'none',
    // Packages that come in both forms: of modules, what nobody uses is left out.
    mainFields: ['module', 'main'],
    define: { __BUILD__: JSON.stringify(info) },
    // CommonJS packages call require() for Node's own modules, which a module does not have.
    banner: {
      js: "import { createRequire as __createRequire } from 'node:module'; const require = __createRequire(import.meta.url);",
    },
  });
  const parts = Object.values(metafile.outputs).flatMap(({ inputs }) => Object.entries(inputs));
  return bundledPackages(parts.flatMap(([file, { bytesInOutput }]) => (bytesInOutput > 0 ? [file] : [])));
}

/** The pinned Node of an architecture. npm installs only this machine's; the other one is fetched once, into the cache. */
function pinnedNode(arch: string): string {
  const name = `node-linux-${arch}`;
  const installed = join(root, 'node_modules', name, 'bin', 'node');
  if (existsSync(installed)) return installed;
  const locked = lock.packages[`node_modules/${name}`];
  if (locked === undefined) throw new Error(`package-lock.json does not pin ${name}`);
  const cache = join(
    process.env.XDG_CACHE_HOME ?? join(homedir(), '.cache'),
    'gitlab-kas-build',
    `${name}-${locked.version}`,
  );
  const cached = join(cache, 'package', 'bin', 'node');
  if (existsSync(cached)) return cached;
  mkdirSync(cache, { recursive: true });
  const pack = ['pack', `${name}@${locked.version}`, '--pack-destination', cache, '--json'];
  const [packed]: { filename: string }[] = JSON.parse(execFileSync('npm', pack, { encoding: 'utf8', cwd: cache }));
  const archive = join(cache, packed?.filename ?? '');
  const integrity = `sha512-${createHash('sha512').update(readFileSync(archive)).digest('base64')}`;
  if (integrity !== locked.integrity) throw new Error(`${archive} is not what package-lock.json pins`);
  execFileSync('tar', ['-xzf', archive, '-C', cache]);
  rmSync(archive);
  return cached;
}

/** Takes the symbols out of a copy of Node: 30 MB. The finished executable must not be stripped: it would crash. */
function strip(node: string, arch: string, copy: string): void {
  copyFileSync(node, copy);
  chmodSync(copy, 0o755);
  const gnuName = arch === 'x64' ? 'x86_64-linux-gnu-strip' : 'aarch64-linux-gnu-strip';
  for (const tool of arch === process.arch ? ['strip', gnuName, 'llvm-strip'] : [gnuName, 'llvm-strip']) {
    try {
      execFileSync(tool, [copy], { stdio: 'ignore' });
      return;
    } catch {
      copyFileSync(node, copy); // The tool is not there, or left half a file.
    }
  }
  console.error(`build: no strip for ${arch} here (Debian: binutils): the executable will be 30 MB larger`);
}

/**
 * Copies a file in writes of a page each. What is written in large pieces stays in the page cache in large pieces, and a
 * program that touches a byte of one has all of it mapped: 30 MB more resident memory, until the file is read afresh.
 */
function copyInPages(from: string, to: string): void {
  const bytes = readFileSync(from);
  const file = openSync(to, 'w');
  for (let at = 0; at < bytes.length; at += 4096) writeSync(file, bytes, at, Math.min(4096, bytes.length - at));
  closeSync(file);
}

function isFresh(executable: string): boolean {
  if (!existsSync(executable) || !existsSync(`${executable}.cdx.json`)) return false;
  const built = statSync(executable).mtimeMs;
  const sources = [...globSync('src/**/*.ts', { cwd: root }), 'package.json', 'package-lock.json', 'scripts/build.ts'];
  return sources.every((name) => name.endsWith('.test.ts') || statSync(join(root, name)).mtimeMs < built);
}

async function buildExecutable(arch: string, executable: string): Promise<void> {
  const work = join(dist, `work-${arch}-${process.pid}`);
  mkdirSync(work, { recursive: true });
  try {
    const main = join(work, 'gitlab-kas.mjs');
    const base = join(work, 'node');
    const packages = await bundle(main);
    strip(pinnedNode(arch), arch, base);
    const seaConfig = {
      main,
      mainFormat: 'module',
      executable: base,
      output: join(work, 'gitlab-kas'),
      disableExperimentalSEAWarning: true,
      execArgv: V8_OPTIONS,
      // What NODE_OPTIONS says is none of this program's business.
      execArgvExtension: 'none',
    };
    writeFileSync(join(work, 'sea.json'), JSON.stringify(seaConfig));
    execFileSync(pinnedNode(process.arch), ['--build-sea', join(work, 'sea.json')], {
      stdio: ['ignore', 'ignore', 'inherit'],
    });
    const finished = join(work, 'finished');
    copyInPages(seaConfig.output, finished);
    chmodSync(finished, 0o755);
    // A new file takes the old one's place at once: a server that runs from it is left alone.
    renameSync(finished, executable);
    writeBill(packages, arch, `${executable}.cdx.json`);
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
  console.log(`${executable.slice(root.length + 1)}: ${(statSync(executable).size / 1e6).toFixed(1)} MB`);
}

function writeBill(packages: readonly string[], arch: string, file: string): void {
  const runtime = `node_modules/node-linux-${arch}`;
  const bill = cyclonedx({ packages, lock, runtime, version: lock.version, timestamp: new Date().toISOString() });
  writeFileSync(file, `${JSON.stringify(bill, null, 2)}\n`);
}

/** Of everything in dist/, as `sha256sum --check` reads them. */
function writeChecksums(): void {
  const lines = globSync('gitlab-kas*', { cwd: dist })
    .sort()
    .map(
      (name) =>
        `${createHash('sha256')
          .update(readFileSync(join(dist, name)))
          .digest('hex')}  ${name}\n`,
    );
  writeFileSync(join(dist, 'SHA256SUMS'), lines.join(''));
}

const { values } = parseArgs({
  options: { arch: { type: 'string' }, bundle: { type: 'string' }, 'if-stale': { type: 'boolean' } },
});
const arch = values.arch ?? process.arch;
const executable = join(dist, arch === process.arch ? 'gitlab-kas' : `gitlab-kas-${arch}`);
if (values.bundle !== undefined) {
  await bundle(values.bundle);
} else if (process.platform !== 'linux') {
  console.error('build: the executable is built on Linux only; elsewhere run the source: scripts/node src/main.ts');
  process.exitCode = 1;
} else if (!architectures.includes(arch)) {
  console.error(`build: there is no pinned Node for ${arch}, only for ${architectures.join(' and ')}`);
  process.exitCode = 1;
} else if (!values['if-stale'] || !isFresh(executable)) {
  await buildExecutable(arch, executable);
  writeChecksums();
}
