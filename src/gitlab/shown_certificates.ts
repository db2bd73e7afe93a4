import type { Certificate, DetailedPeerCertificate } from 'node:tls';
import type { Clock } from '../runtime/clock.ts';
import { type DialOptions, lookAtCertificate } from './dial.ts';

/** While a certificate is refused, calls fail all the time; what it says is looked up anew after this time. */
const KEEP_MS = 60_000;
/** Longer chains are odd enough. */
const LONGEST_CHAIN = 5;

/** What the certificates say that a server shows and that are refused: whoever reads the error wants to know whose they are. */
export class ShownCertificates {
  readonly #options: DialOptions;
  readonly #clock: Clock;
  #text: Promise<string> | undefined;
  #untilMs = 0;

  constructor(options: DialOptions) {
    this.#options = options;
    this.#clock = options.clock;
  }

  /** Empty if they could not be seen. Never rejects. */
  text(): Promise<string> {
    const nowMs = this.#clock.monotonicMs();
    if (this.#text === undefined || nowMs >= this.#untilMs) {
      this.#untilMs = nowMs + KEEP_MS;
      this.#text = lookAtCertificate(this.#options).then(describeChain, () => '');
    }
    return this.#text;
  }
}

/** `it shows CN=gitlab.example, O=Example (until Jan 1 00:00:00 2027 GMT), issued by CN=Example CA`. */
export function describeChain(leaf: DetailedPeerCertificate): string {
  if (leaf.subject === undefined) return '';
  const names: string[] = [];
  let at: DetailedPeerCertificate | undefined = leaf;
  for (let i = 0; i < LONGEST_CHAIN && at?.issuer !== undefined; i++) {
    names.push(nameOf(at.issuer));
    if (at.issuerCertificate === at || at.issuerCertificate === undefined) break;
    at = at.issuerCertificate;
  }
  const issuers = names.filter((name, i) => i === 0 || name !== names[i - 1]).join(', issued by ');
  return `it shows ${nameOf(leaf.subject)} (until ${leaf.valid_to}), issued by ${issuers}`;
}

function nameOf(name: Certificate): string {
  return Object.entries(name)
    .map(([type, value]) => `${type}=${[value].flat().join('+')}`)
    .join(', ');
}
