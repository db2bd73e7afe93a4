import { createPrivateKey, X509Certificate } from 'node:crypto';
import { errorText } from '../../runtime/app_error.ts';
import { childPath, type Report } from '../problem.ts';
import { warnIfOpenToAll } from './private_file.ts';
import { readBytes } from './read_file.ts';

/** A certificate with its key, as two keys of one section. */
export interface KeyPair {
  readonly certificateFile: string;
  readonly keyFile: string;
}

interface Section {
  readonly certificate_file: string | undefined;
  readonly key_file: string | undefined;
}

/**
 * Both files or neither; opened, and compared with each other, so that the first handshake brings no surprise.
 * @param options.path the section that has the two keys
 * @param options.server how error texts begin, `agent server`; undefined for a client's pair
 */
export function readKeyPair(
  section: Section,
  options: { report: Report; path: string; server: string | undefined },
): KeyPair | undefined {
  const { certificate_file: certificateFile, key_file: keyFile } = section;
  const { report, path, server } = options;
  if (certificateFile === undefined && keyFile === undefined) return undefined;
  const key = childPath(path, certificateFile === undefined ? 'key_file' : 'certificate_file');
  if (certificateFile === undefined || keyFile === undefined) {
    const [certificate, privateKey] = [certificateFile ?? '', keyFile ?? ''];
    report.problem(
      key,
      server === undefined
        ? `both certificate (${certificate}) and key (${privateKey}) files must be specified`
        : `${server}: both certificate file (${certificate}) and key file (${privateKey}) must be either specified or not`,
    );
    return undefined;
  }
  const wrong = pairProblem(certificateFile, keyFile);
  if (wrong !== undefined) {
    const prefix = server === undefined ? '' : `${server}: `;
    report.problem(key, `${prefix}loading certificate (${certificateFile}) and key (${keyFile}) files: ${wrong}`);
  }
  if (wrong === undefined) warnIfOpenToAll(keyFile, childPath(path, 'key_file'), report);
  return { certificateFile, keyFile };
}

function pairProblem(certificateFile: string, keyFile: string): string | undefined {
  const certificate = readBytes(certificateFile);
  if ('wrong' in certificate) return certificate.wrong;
  const key = readBytes(keyFile);
  if ('wrong' in key) return key.wrong;
  let leaf: X509Certificate;
  try {
    leaf = new X509Certificate(certificate.bytes);
  } catch (error) {
    return `no certificate in ${certificateFile}: ${errorText(error)}`;
  }
  try {
    return leaf.checkPrivateKey(createPrivateKey(key.bytes))
      ? undefined
      : 'the key does not belong to the (first) certificate';
  } catch (error) {
    return `no usable key in ${keyFile}: ${errorText(error)}`;
  }
}

/** Opens a file of CA certificates and looks whether there is one in it. */
export function checkCaFile(file: string | undefined, options: { report: Report; path: string }): string | undefined {
  if (file === undefined) return undefined;
  const read = readBytes(file);
  if ('wrong' in read) options.report.problem(options.path, `CA certificate file: ${read.wrong}`);
  else if (!hasCertificate(read.bytes)) options.report.problem(options.path, `AppendCertsFromPEM(${file}) failed`);
  return file;
}

function hasCertificate(pem: Buffer): boolean {
  const blocks = pem.toString('latin1').match(/-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g) ?? [];
  return blocks.some((block) => {
    try {
      return new X509Certificate(block) !== undefined;
    } catch {
      return false;
    }
  });
}
