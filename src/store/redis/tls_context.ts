import { statSync } from 'node:fs';
import { createSecureContext, type SecureContext } from 'node:tls';
import type { ClientTls } from '../../config/config.ts';
import { certificateVersion, readCertificate } from '../../net/certificate.ts';
import { CIPHER_SUITES } from '../../net/cipher_suites.ts';
import { type Environment, trustedRoots } from '../../net/trusted_roots.ts';

/** What a TLS client shows and trusts, made from files again when they have changed: certificates are replaced while it runs. */
export class TlsContext {
  readonly #tls: ClientTls;
  readonly #env: Environment;
  #version: string | undefined;
  #context: SecureContext | undefined;

  constructor(tls: ClientTls, env: Environment) {
    this.#tls = tls;
    this.#env = env;
  }

  /** @throws AppError if a file cannot be used */
  get(): SecureContext {
    const { certificateFile, keyFile, caCertificateFile } = this.#tls;
    const pair = certificateFile && keyFile ? { certificateFile, keyFile } : undefined;
    const version = `${pair && certificateVersion(pair)} ${caCertificateFile && versionOf(caCertificateFile)}`;
    if (this.#context === undefined || version !== this.#version) {
      this.#context = createSecureContext({
        ...(pair && readCertificate(pair)),
        ca: trustedRoots(this.#env, caCertificateFile),
        minVersion: 'TLSv1.2',
        ciphers: CIPHER_SUITES,
      });
      this.#version = version;
    }
    return this.#context;
  }
}

function versionOf(file: string): string {
  const stat = statSync(file, { throwIfNoEntry: false });
  return stat === undefined ? 'none' : `${stat.ino}:${stat.size}:${stat.mtimeMs}`;
}
