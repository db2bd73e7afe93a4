import { statSync } from 'node:fs';
import { createSecureContext, type SecureContext } from 'node:tls';
import type { ClientTls } from '../config/config.ts';
import { errorText } from '../runtime/app_error.ts';
import { certificateVersion, readCertificate } from './certificate.ts';
import { CIPHER_SUITES } from './cipher_suites.ts';
import { type Environment, trustedRoots } from './trusted_roots.ts';

/** What a TLS client shows and trusts, made from files again when they have changed: certificates are replaced while it runs. */
export class ClientTlsContext {
  readonly #tls: ClientTls;
  readonly #env: Environment;
  #version: string | undefined;
  #context: SecureContext | undefined;
  #told = '';

  constructor(tls: ClientTls, env: Environment) {
    this.#tls = tls;
    this.#env = env;
  }

  /**
   * The last one that could be made, if a file that has changed cannot be used.
   * @param tell what is wrong with it, once
   * @throws AppError if there has been none yet
   */
  getOrLast(tell: (fields: { readonly error: string; readonly hint: string }) => void): SecureContext {
    const last = this.#context;
    try {
      return this.get();
    } catch (error) {
      if (last === undefined) throw error;
      const text = errorText(error);
      if (text !== this.#told) tell({ error: text, hint: 'repair the file: it is looked at again' });
      this.#told = text;
      return last;
    }
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
      this.#told = '';
    }
    return this.#context;
  }
}

function versionOf(file: string): string {
  const stat = statSync(file, { throwIfNoEntry: false });
  return stat === undefined ? 'none' : `${stat.ino}:${stat.size}:${stat.mtimeMs}`;
}
