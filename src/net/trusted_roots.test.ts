import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { rootCertificates } from 'node:tls';
import { StatusCode } from '../runtime/status_code.ts';
import { trustedRoots } from './trusted_roots.ts';

function pem(content: string): string {
  return `-----BEGIN CERTIFICATE-----\n${content}\n-----END CERTIFICATE-----`;
}

/** A folder with a bundle, two folders of certificates, and an empty one. */
function setUp(t: TestContext) {
  const root = mkdtempSync(join(tmpdir(), 'roots-'));
  t.after(() => rmSync(root, { recursive: true }));
  const path = (name: string) => join(root, name);
  for (const folder of ['one', 'two', 'empty', 'one/sub']) mkdirSync(path(folder));
  writeFileSync(path('bundle.pem'), `# comment\n${pem('B1')}\n\n${pem('B2')}\n`);
  writeFileSync(path('one/a.crt'), pem('A').replaceAll('\n', '\r\n'));
  writeFileSync(path('one/README'), 'no certificate');
  symlinkSync('a.crt', path('one/12345678.0'));
  writeFileSync(path('two/c.crt'), pem('C'));
  symlinkSync(path('bundle.pem'), path('two/linked.pem'));
  return path;
}

test('SSL_CERT_FILE and SSL_CERT_DIR replace what the system has', (t) => {
  const path = setUp(t);
  const env = { SSL_CERT_FILE: path('bundle.pem'), SSL_CERT_DIR: `${path('missing')}:${path('one')}:${path('two')}` };
  assert.deepEqual(trustedRoots(env, undefined).sort(), [pem('A'), pem('B1'), pem('B2'), pem('C')]);
});

test('a link that leads elsewhere counts, one within its folder is a second name', (t) => {
  const path = setUp(t);
  const env = { SSL_CERT_FILE: path('missing'), SSL_CERT_DIR: path('two') };
  assert.deepEqual(trustedRoots(env, undefined).sort(), [pem('B1'), pem('B2'), pem('C')]);
});

test('the configured file comes before the system’s, whose certificates may have the same names', (t) => {
  const path = setUp(t);
  const env = { SSL_CERT_FILE: path('missing'), SSL_CERT_DIR: path('one') };
  assert.deepEqual(trustedRoots(env, path('two/c.crt')), [pem('C'), pem('A')]);
});

test("a machine without roots gets the runtime's", (t) => {
  const path = setUp(t);
  const env = { SSL_CERT_FILE: path('missing'), SSL_CERT_DIR: path('empty') };
  assert.deepEqual(trustedRoots(env, path('one/a.crt')), [pem('A'), ...rootCertificates]);
});

test('a configured file that is missing or has no certificate is refused', (t) => {
  const path = setUp(t);
  for (const file of ['missing', 'one/README']) {
    assert.throws(() => trustedRoots({}, path(file)), {
      code: StatusCode.InvalidArgument,
      message: new RegExp(`^CA certificate file ${path(file)}: `),
    });
  }
});
