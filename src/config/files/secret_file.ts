import type { Report } from '../problem.ts';
import { Secret } from '../secret.ts';
import { decodeBase64 } from './base64.ts';
import { warnIfOpenToAll } from './private_file.ts';
import { readBytes } from './read_file.ts';

interface Options {
  readonly report: Report;
  /** The key that names the file. */
  readonly path: string;
  /** How error texts begin: `authentication secret`. */
  readonly what: string;
}

/**
 * A key in base64.
 * @param options.length how many bytes it must have; without it, fewer than 32 warn and none at all is a problem
 */
export function readKeyFile(file: string | undefined, options: Options & { length?: number }): Secret {
  const { report, path, what, length } = options;
  const none = new Secret(Buffer.alloc(0));
  if (file === undefined) return none;
  const read = readBytes(file);
  if ('wrong' in read) {
    report.problem(path, `${what}: read file: read file: ${read.wrong}`);
    return none;
  }
  warnIfOpenToAll(file, path, report);
  const decoded = decodeBase64(read.bytes.toString('latin1'));
  if ('wrong' in decoded) {
    report.problem(path, `${what}: read file: decoding: ${decoded.wrong}`);
    return none;
  }
  const { bytes } = decoded;
  if (length !== undefined && bytes.length !== length) {
    report.problem(path, `${what}: decoding: expecting ${length} bytes, was ${bytes.length}`);
  } else if (bytes.length === 0) {
    report.problem(path, `${what}: decoding: the file is empty, anybody could sign with it`);
  } else if (length === undefined && bytes.length < 32) {
    report.warn(path, `${what}: a key of ${bytes.length} bytes is weak, use 32`);
  }
  return new Secret(bytes);
}

/** A password: the file's bytes as they are, a newline at the end included. */
export function readPasswordFile(file: string | undefined, options: Options): Secret | undefined {
  if (file === undefined) return undefined;
  const read = readBytes(file);
  if ('wrong' in read) {
    options.report.problem(options.path, `${options.what}: ${read.wrong}`);
    return undefined;
  }
  warnIfOpenToAll(file, options.path, options.report);
  return new Secret(read.bytes);
}

/** A token: the file's text without the white space around it. */
export function readTokenFile(file: string | undefined, options: Options): Secret | undefined {
  const secret = readPasswordFile(file, options);
  return secret && new Secret(Buffer.from(secret.reveal().toString('utf8').trim()));
}
