import { generateKeyPairSync, type KeyObject, randomBytes, sign } from 'node:crypto';

/** A self-signed certificate for localhost and 127.0.0.1, its own CA, and its key; both PEM. */
export interface TestCertificate {
  readonly cert: string;
  readonly key: string;
}

type KeyType = 'ec' | 'rsa';

/** DER tags (X.690, RFC 5280). */
const TAG = { integer: 2, bits: 3, octets: 4, null: 5, oid: 6, utf8: 12, sequence: 0x30, set: 0x31, time: 23 } as const;
const OID = {
  commonName: [0x55, 4, 3],
  subjectAltName: [0x55, 0x1d, 17],
  basicConstraints: [0x55, 0x1d, 19],
  ecdsaWithSha256: [0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 2],
  rsaWithSha256: [0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 11],
} as const;
const TRUE = Buffer.of(1, 1, 0xff);
const HOUR_MS = 3_600_000;
const LIFETIME_MS = 30 * 24 * HOUR_MS;

/** Makes one, without the openssl binary, which not every machine has. @param commonName tells certificates apart in tests. */
export function makeCertificate(keyType: KeyType = 'ec', commonName = 'localhost'): TestCertificate {
  const { publicKey, privateKey } = keyPair(keyType);
  const algorithm =
    keyType === 'ec'
      ? der(TAG.sequence, oid('ecdsaWithSha256'))
      : der(TAG.sequence, oid('rsaWithSha256'), der(TAG.null));
  const name = der(
    TAG.sequence,
    der(TAG.set, der(TAG.sequence, oid('commonName'), der(TAG.utf8, Buffer.from(commonName)))),
  );
  const now = Date.now();
  const signed = der(
    TAG.sequence,
    der(0xa0, der(TAG.integer, Buffer.of(2))), // version 3
    der(TAG.integer, Buffer.of(0x5a), randomBytes(15)), // serial number: positive
    algorithm,
    name,
    der(TAG.sequence, time(now - HOUR_MS), time(now + LIFETIME_MS)),
    name,
    publicKey.export({ type: 'spki', format: 'der' }),
    der(0xa3, der(TAG.sequence, basicConstraints(), subjectAltName())),
  );
  const signature = der(TAG.bits, Buffer.of(0), sign('sha256', signed, privateKey));
  return {
    cert: pem(der(TAG.sequence, signed, algorithm, signature)),
    key: privateKey.export({ type: 'pkcs8', format: 'pem' }).toString(),
  };
}

function keyPair(keyType: KeyType): { publicKey: KeyObject; privateKey: KeyObject } {
  return keyType === 'ec'
    ? generateKeyPairSync('ec', { namedCurve: 'prime256v1' })
    : generateKeyPairSync('rsa', { modulusLength: 2048 });
}

function basicConstraints(): Buffer {
  const isCa = der(TAG.sequence, TRUE);
  return der(TAG.sequence, oid('basicConstraints'), TRUE, der(TAG.octets, isCa));
}

function subjectAltName(): Buffer {
  const [dns, ip] = [0x82, 0x87];
  const names = der(
    TAG.sequence,
    der(dns, Buffer.from('localhost')),
    der(ip, Buffer.of(127, 0, 0, 1)),
    der(ip, Buffer.concat([Buffer.alloc(15), Buffer.of(1)])),
  );
  return der(TAG.sequence, oid('subjectAltName'), der(TAG.octets, names));
}

function oid(name: keyof typeof OID): Buffer {
  return der(TAG.oid, Buffer.from(OID[name]));
}

/** UTCTime: two digits of the year. */
function time(ms: number): Buffer {
  const digits = new Date(ms).toISOString().slice(2, 19).replace(/\D/g, '');
  return der(TAG.time, Buffer.from(`${digits}Z`));
}

function der(tag: number, ...parts: readonly Buffer[]): Buffer {
  const content = Buffer.concat(parts);
  const { length } = content;
  const head = length < 0x80 ? [length] : length < 0x100 ? [0x81, length] : [0x82, length >> 8, length & 0xff];
  return Buffer.concat([Buffer.of(tag, ...head), content]);
}

function pem(bytes: Buffer): string {
  const lines = bytes.toString('base64').match(/.{1,64}/g) ?? [];
  return `-----BEGIN CERTIFICATE-----\n${lines.join('\n')}\n-----END CERTIFICATE-----\n`;
}
