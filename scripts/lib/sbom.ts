import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { root } from './repository.ts';

/** What package-lock.json says of a package. */
export interface LockedPackage {
  readonly version?: string;
  readonly integrity?: string;
  readonly license?: string;
  readonly dev?: boolean;
  readonly hasInstallScript?: boolean;
}

export interface Lock {
  readonly version: string;
  readonly packages: Readonly<Record<string, LockedPackage>>;
}

interface Component {
  readonly type: 'library' | 'platform' | 'application';
  readonly 'bom-ref': string;
  readonly name: string;
  readonly version: string;
  readonly purl?: string;
  readonly licenses?: readonly [{ readonly expression: string }];
  readonly hashes?: readonly [{ readonly alg: 'SHA-512'; readonly content: string }];
}

/** The folders under node_modules that files of a bundle come from, e.g. `node_modules/@connectrpc/connect`. */
export function bundledPackages(inputs: Iterable<string>): string[] {
  const folders = [...inputs].flatMap((input) => /^(?:.*\/)?node_modules\/(?:@[^/]+\/)?[^/]+/.exec(input)?.[0] ?? []);
  return [...new Set(folders)].sort();
}

/**
 * What the executable is made of, in CycloneDX 1.6: the packages of which anything is in the bundle, and the runtime.
 * @param packages folders, as in package-lock.json
 */
export function cyclonedx(options: {
  readonly packages: readonly string[];
  readonly lock: Lock;
  /** Folder of the pinned runtime, as in package-lock.json. */
  readonly runtime: string;
  readonly version: string;
  readonly timestamp: string;
}): object {
  const { packages, lock, runtime, version, timestamp } = options;
  const libraries = packages.map((folder) => library(folder, lock));
  const node = lock.packages[runtime];
  const platform: Component = {
    type: 'platform',
    'bom-ref': 'node',
    name: 'node',
    version: node?.version ?? '',
    licenses: [{ expression: 'MIT' }],
    ...hashes(node?.integrity),
  };
  const application: Component = { type: 'application', 'bom-ref': 'gitlab-kas', name: 'gitlab-kas', version };
  const components = [...libraries, platform];
  return {
    bomFormat: 'CycloneDX',
    specVersion: '1.6',
    version: 1,
    metadata: { timestamp, component: { ...application, licenses: [{ expression: 'MIT' }] } },
    components,
    dependencies: [{ ref: 'gitlab-kas', dependsOn: components.map((component) => component['bom-ref']) }],
  };
}

function library(folder: string, lock: Lock): Component {
  const name = folder.slice(folder.lastIndexOf('node_modules/') + 'node_modules/'.length);
  const locked = lock.packages[folder];
  if (locked?.version === undefined) throw new Error(`package-lock.json does not pin ${folder}`);
  const purl = `pkg:npm/${name.replace('@', '%40')}@${locked.version}`;
  return {
    type: 'library',
    'bom-ref': purl,
    name,
    version: locked.version,
    purl,
    licenses: [{ expression: licenseOf(folder, locked) }],
    ...hashes(locked.integrity),
  };
}

/** The lock leaves the licence out of some entries; the package itself says it. */
export function licenseOf(folder: string, { license }: LockedPackage): string {
  return license ?? JSON.parse(readFileSync(join(root, folder, 'package.json'), 'utf8')).license ?? 'NOASSERTION';
}

/** Of the package's archive, in hexadecimal as CycloneDX wants it. */
function hashes(integrity: string | undefined): Pick<Component, 'hashes'> {
  if (integrity?.startsWith('sha512-') !== true) return {};
  return { hashes: [{ alg: 'SHA-512', content: Buffer.from(integrity.slice(7), 'base64').toString('hex') }] };
}
