import { createCipheriv, createDecipheriv, hkdfSync } from 'node:crypto';
import type { Secret } from '../config/secret.ts';
import type { Clock } from '../runtime/clock.ts';
import type { Random } from '../runtime/random.ts';

const CIPHER = 'aes-256-gcm';
const NONCE_BYTES = 12;
const TAG_BYTES = 16;
/** When the answer is over, milliseconds since the epoch. */
const EXPIRY_BYTES = 8;

/**
 * What GitLab said of a credential, in a form that only nodes with the same secret can read and write: it lies in the store,
 * where others come by. Neither can it be taken for the answer about another credential, nor be used after its time.
 */
export class AnswerSeal {
  readonly #key: Buffer;
  readonly #clock: Clock;
  readonly #random: Random;

  /** @param what is sealed: a seal for one thing opens no other */
  constructor(secret: Secret, what: string, { clock, random }: { readonly clock: Clock; readonly random: Random }) {
    this.#key = Buffer.from(hkdfSync('sha256', secret.reveal(), '', `gitlab-kas ${what}`, 32));
    this.#clock = clock;
    this.#random = random;
  }

  seal(hash: Buffer, answer: Uint8Array, ttlMs: number): Buffer {
    const nonce = this.#random.bytes(NONCE_BYTES);
    const cipher = createCipheriv(CIPHER, this.#key, nonce).setAAD(hash);
    const expiry = Buffer.alloc(EXPIRY_BYTES);
    expiry.writeBigInt64LE(BigInt(Math.floor(this.#clock.wallMs() + ttlMs)));
    const text = [cipher.update(expiry), cipher.update(answer), cipher.final()];
    return Buffer.concat([nonce, cipher.getAuthTag(), ...text]);
  }

  /** Undefined if the answer is not one of ours about this credential, or its time is over. */
  open(hash: Buffer, sealed: Buffer): { readonly answer: Buffer; readonly ttlMs: number } | undefined {
    if (sealed.length < NONCE_BYTES + TAG_BYTES + EXPIRY_BYTES) return undefined;
    const nonce = sealed.subarray(0, NONCE_BYTES);
    const tag = sealed.subarray(NONCE_BYTES, NONCE_BYTES + TAG_BYTES);
    const cipher = createDecipheriv(CIPHER, this.#key, nonce, { authTagLength: TAG_BYTES })
      .setAAD(hash)
      .setAuthTag(tag);
    let text: Buffer;
    try {
      text = Buffer.concat([cipher.update(sealed.subarray(NONCE_BYTES + TAG_BYTES)), cipher.final()]);
    } catch {
      return undefined;
    }
    const ttlMs = Number(text.readBigInt64LE()) - this.#clock.wallMs();
    return ttlMs > 0 ? { answer: text.subarray(EXPIRY_BYTES), ttlMs } : undefined;
  }
}
