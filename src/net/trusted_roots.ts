import { type Dirent, readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { join } from 'node:path';
import { createSecureContext, rootCertificates, type SecureContext } from 'node:tls';
import { AppError, errorText } from '../runtime/app_error.ts';
import { StatusCode } from '../runtime/status_code.ts';
import { CIPHER_SUITES } from './cipher_suites.ts';

export type Environment = Readonly<Record<string, string | undefined>>;

/** Where systems keep their bundle; the first that can be read counts. */
const BUNDLES = [
  '/etc/ssl/certs/ca-certificates.crt',
  '/etc/pki/tls/certs/ca-bundle.crt',
  '/etc/ssl/ca-bundle.pem',
  '/etc/pki/tls/cacert.pem',
  '/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem',
  '/etc/ssl/cert.pem',
];
const DIRECTORIES = ['/etc/ssl/certs', '/etc/pki/tls/certs'];

/** What TLS clients of this server agree to: TLS 1.2 or newer, our suites, the system's roots and `caCertificateFile`. */
export function clientSecureContext(env: Environment, caCertificateFile: string | undefined): SecureContext {
  return createSecureContext({
    ca: trustedRoots(env, caCertificateFile),
    minVersion: 'TLSv1.2',
    ciphers: CIPHER_SUITES,
  });
}

/**
 * The certificates to trust, in PEM: the system's, as Go programs find them (`SSL_CERT_FILE` names another bundle,
 * `SSL_CERT_DIR` other directories, separated by colons), and those of `caCertificateFile`. Without any of the system, as in
 * bare containers, Mozilla's list that the runtime carries.
 *
 * @throws AppError InvalidArgument if `caCertificateFile` cannot be read or has no certificate
 */
export function trustedRoots(env: Environment, caCertificateFile: string | undefined): string[] {
  // First: of several with one name and without key identifiers OpenSSL sees the first alone, and the system may have such a one.
  const own = caCertificateFile === undefined ? [] : ownCertificates(caCertificateFile);
  const roots = new Set<string>();
  for (const file of env.SSL_CERT_FILE ? [env.SSL_CERT_FILE] : BUNDLES) {
    if (addFile(roots, file)) break;
  }
  for (const directory of env.SSL_CERT_DIR ? env.SSL_CERT_DIR.split(':') : DIRECTORIES) addDirectory(roots, directory);
  if (roots.size === 0) for (const certificate of rootCertificates) roots.add(certificate);
  return [...new Set([...own, ...roots])];
}

function addFile(roots: Set<string>, file: string): boolean {
  try {
    for (const certificate of certificatesIn(readFileSync(file, 'latin1'))) roots.add(certificate);
    return true;
  } catch {
    return false; // a missing bundle or an unreadable file in a directory is normal; Go skips them as well
  }
}

function addDirectory(roots: Set<string>, directory: string): void {
  let entries: Dirent[];
  try {
    entries = readdirSync(directory, { withFileTypes: true });
  } catch {
    return;
  }
  for (const entry of entries) {
    const path = join(directory, entry.name);
    // c_rehash adds a link by hash to each file: reading those as well would double the work.
    if (entry.isSymbolicLink() && !readlinkSync(path).includes('/')) continue;
    if (!entry.isDirectory()) addFile(roots, path);
  }
}

function ownCertificates(file: string): string[] {
  let certificates: string[];
  try {
    certificates = certificatesIn(readFileSync(file, 'latin1'));
  } catch (error) {
    throw new AppError(StatusCode.InvalidArgument, `CA certificate file ${file}: ${errorText(error)}`, {
      cause: error,
    });
  }
  if (certificates.length === 0) {
    throw new AppError(StatusCode.InvalidArgument, `CA certificate file ${file}: no PEM certificate in it`);
  }
  return certificates;
}

function certificatesIn(pem: string): string[] {
  return (pem.match(/-----BEGIN CERTIFICATE-----[\s\S]*?-----END CERTIFICATE-----/g) ?? []).map((text) =>
    text.replaceAll('\r', ''),
  );
}
