import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** A self-signed certificate for localhost and 127.0.0.1, its own CA, and its key; both PEM. */
export interface TestCertificate {
  readonly cert: string;
  readonly key: string;
}

const keyTypes = {
  ec: ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1'],
  rsa: ['-newkey', 'rsa:2048'],
};

/** Makes one with the openssl binary. @param commonName tells certificates apart in tests. */
export function makeCertificate(keyType: keyof typeof keyTypes = 'ec', commonName = 'localhost'): TestCertificate {
  const folder = mkdtempSync(join(tmpdir(), 'certificate-'));
  try {
    const keyFile = join(folder, 'key.pem');
    const files = ['-keyout', keyFile, '-out', join(folder, 'cert.pem')];
    const names = ['-subj', `/CN=${commonName}`, '-addext', 'subjectAltName=DNS:localhost,IP:127.0.0.1,IP:::1'];
    execFileSync('openssl', ['req', '-x509', ...keyTypes[keyType], '-nodes', ...files, '-days', '2', ...names], {
      stdio: 'pipe',
    });
    return { cert: readFileSync(join(folder, 'cert.pem'), 'utf8'), key: readFileSync(keyFile, 'utf8') };
  } finally {
    rmSync(folder, { recursive: true });
  }
}
