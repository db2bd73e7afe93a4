import { createPrivateKey, X509Certificate } from 'node:crypto';
import { readFileSync, statSync } from 'node:fs';
import { AppError, errorText } from '../runtime/app_error.ts';
import { StatusCode } from '../runtime/status_code.ts';

export interface CertificateFiles {
  readonly certificateFile: string;
  readonly keyFile: string;
}

/** A certificate chain with its key, both PEM, known to fit together. */
export interface Certificate {
  readonly cert: Buffer;
  readonly key: Buffer;
}

/**
 * Reads and checks a pair. It is checked here because not every runtime refuses a pair that does not fit: one takes it
 * silently and then fails every handshake (docs/compatibility.md).
 * @throws AppError that names the file.
 */
export function readCertificate(files: CertificateFiles): Certificate {
  const cert = readNamed(files.certificateFile, 'certificate');
  const key = readNamed(files.keyFile, 'key');
  const parsed = parse(() => new X509Certificate(cert), `${files.certificateFile}: no PEM certificate in it`);
  const privateKey = parse(() => createPrivateKey(key), `${files.keyFile}: no PEM private key in it`);
  if (!parsed.checkPrivateKey(privateKey)) {
    throw unusable(`${files.keyFile}: not the key of the certificate in ${files.certificateFile}`);
  }
  return { cert, key };
}

/** Changes when a file is replaced or written, Kubernetes' way of swapping a symbolic link included. */
export function certificateVersion(files: CertificateFiles): string {
  return [files.certificateFile, files.keyFile]
    .map((file) => {
      const stat = statSync(file, { throwIfNoEntry: false });
      return stat === undefined ? 'none' : `${stat.ino}:${stat.size}:${stat.mtimeMs}`;
    })
    .join(' ');
}

function readNamed(file: string, what: string): Buffer {
  try {
    return readFileSync(file);
  } catch (cause) {
    throw unusable(`${file}: cannot read the ${what}: ${errorText(cause)}`, cause);
  }
}

function parse<T>(f: () => T, message: string): T {
  try {
    return f();
  } catch (cause) {
    throw unusable(message, cause);
  }
}

function unusable(message: string, cause?: unknown): AppError {
  return new AppError(StatusCode.FailedPrecondition, message, { cause });
}
