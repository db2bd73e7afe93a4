import type { Lock, LockedPackage } from './sbom.ts';
import { licenseOf } from './sbom.ts';

/** Licences under which a package may become part of the executable. */
const ALLOWED = new Set(['MIT', 'ISC', 'Apache-2.0', 'BSD-2-Clause', 'BSD-3-Clause', '0BSD', 'BlueOak-1.0.0']);

/** What a package.json says of the project's own dependencies. */
export interface Manifest {
  readonly dependencies?: Readonly<Record<string, string>>;
  readonly devDependencies?: Readonly<Record<string, string>>;
  readonly optionalDependencies?: Readonly<Record<string, string>>;
}

/** Everything that is wrong with the dependencies (docs/CONTRIBUTING.md, packages); empty if nothing is. */
export function dependencyFaults(
  manifest: Manifest,
  lock: Lock,
  /** The files of an installed package. */
  filesOf: (folder: string) => readonly string[],
): string[] {
  const { dependencies = {}, devDependencies = {}, optionalDependencies = {} } = manifest;
  const wanted = Object.entries({ ...dependencies, ...devDependencies, ...optionalDependencies });
  const faults = wanted.flatMap(([name, version]) =>
    /^\d+\.\d+\.\d+(-[\w.]+)?$/.test(version) ? [] : [`${name}: ${version} is no exact version`],
  );
  // The runtime is a package as well, but nothing in it is code of a dependency.
  const shipped = Object.entries(lock.packages).filter(
    ([folder, { dev }]) => folder !== '' && dev !== true && !/\/node-linux-/.test(folder),
  );
  return [...faults, ...shipped.flatMap(([folder, locked]) => packageFaults(folder, locked, filesOf))];
}

function packageFaults(
  folder: string,
  locked: LockedPackage,
  filesOf: (folder: string) => readonly string[],
): string[] {
  const faults: string[] = [];
  if (locked.integrity?.startsWith('sha512-') !== true)
    faults.push(`${folder}: package-lock.json has no SHA-512 of it`);
  if (locked.hasInstallScript === true) faults.push(`${folder}: runs a script when it is installed`);
  const license = licenseOf(folder, locked);
  if (!isAllowed(license)) faults.push(`${folder}: its licence ${license} is not among those allowed`);
  const native = filesOf(folder).find((file) => /\.(node|wasm)$|(^|\/)binding\.gyp$/.test(file));
  if (native !== undefined) faults.push(`${folder}: ${native} is native code`);
  return faults;
}

/** Of `A OR B` one will do, of `A AND B` both are needed. */
function isAllowed(expression: string): boolean {
  const plain = expression.replace(/^\((.*)\)$/, '$1');
  if (plain.includes(' OR ')) return plain.split(' OR ').some(isAllowed);
  return plain.split(' AND ').every((license) => ALLOWED.has(license));
}
