import { makeCertificate } from './certificates.ts';
import type { Tls } from './kas_config.ts';

/** Certificate and CA for localhost. */
export function makeTls(keyType: 'ec' | 'rsa' = 'ec', commonName?: string): Tls {
  const { cert, key } = makeCertificate(keyType, commonName);
  return { ca: cert, cert, key };
}
