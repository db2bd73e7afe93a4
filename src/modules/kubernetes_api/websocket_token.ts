import { createHmac, timingSafeEqual } from 'node:crypto';
import { deflateRawSync, inflateRawSync } from 'node:zlib';
import type { Secret } from '../../config/secret.ts';
import type { Clock } from '../../runtime/clock.ts';
import type { AccessForm, Decision } from './authorize.ts';
import type { IncomingHead } from './incoming_head.ts';
import type { UserLoad } from './user_load.ts';

/** Long enough for a page to open its WebSocket through a slow proxy, too short to be of use in a log file. */
const LIFETIME_MS = 20_000;
const SUBPROTOCOL = 'websocket-token.kas.gitlab.com.';
/** The header line that carries a token has to fit anyway. */
const MAX_CLAIMS_BYTES = 1 << 20;

/** What a token says; short names because it travels in a header. */
interface Claims {
  readonly agent: string;
  readonly user: string | undefined;
  /** Of a user of the `standalone` section. */
  readonly name: string | undefined;
  readonly project: string | undefined;
  readonly extra: string | undefined;
  readonly cookie: boolean;
  readonly form: AccessForm;
  readonly path: string;
  /** Milliseconds since the epoch. */
  readonly expires: number;
}

/** What of a decision travels in a token: whose load it is, the load itself is the node's own. */
export interface SignedDecision extends Omit<Decision, 'load'> {
  readonly load: Pick<UserLoad, 'user'>;
}

/**
 * Tokens with which browsers open WebSockets, since they cannot set headers there. Self-contained, so that any node can
 * check what another one has issued: signed with the secret that all nodes share
 * (docs/protocol/kubernetes_api.md, "WebSocket tokens").
 */
export class WebSocketTokens {
  readonly #key: Buffer;
  readonly #clock: Clock;

  constructor(secret: Secret, clock: Clock) {
    this.#key = secret.reveal();
    this.#clock = clock;
  }

  /** A token for one path of one agent; made of characters that a subprotocol may have. */
  issue(decision: SignedDecision, path: string): string {
    const claims: Claims = {
      agent: String(decision.agentId),
      user: decision.userId?.toString(),
      name: typeof decision.load.user === 'string' ? decision.load.user : undefined,
      project: decision.projectId?.toString(),
      extra: decision.extra && Buffer.from(decision.extra).toString('base64'),
      cookie: decision.viaCookie,
      form: decision.accessForm,
      path,
      expires: this.#clock.wallMs() + LIFETIME_MS,
    };
    // Identities of users with many groups repeat themselves, and header lines are limited.
    const payload = deflateRawSync(JSON.stringify(claims)).toString('base64url');
    return `${payload}.${this.#sign(payload).toString('base64url')}`;
  }

  /** The decision that the token carries, or why it does not count. */
  redeem(token: string, path: string): SignedDecision | 'invalid' | 'expired' {
    const dot = token.indexOf('.');
    if (dot === -1) return 'invalid';
    const payload = token.slice(0, dot);
    const signature = Buffer.from(token.slice(dot + 1), 'base64url');
    const expected = this.#sign(payload);
    if (signature.length !== expected.length || !timingSafeEqual(signature, expected)) return 'invalid';
    // Signed by us, so of our making from here on.
    const json = inflateRawSync(Buffer.from(payload, 'base64url'), { maxOutputLength: MAX_CLAIMS_BYTES });
    const claims: Claims = JSON.parse(json.toString());
    if (claims.expires <= this.#clock.wallMs()) return 'expired';
    if (claims.path !== path) return 'invalid';
    const userId = claims.user === undefined ? undefined : BigInt(claims.user);
    return {
      kind: 'allowed',
      agentId: BigInt(claims.agent),
      extra: claims.extra === undefined ? undefined : Buffer.from(claims.extra, 'base64'),
      viaCookie: claims.cookie,
      accessForm: claims.form,
      userId,
      projectId: claims.project === undefined ? undefined : BigInt(claims.project),
      load: { user: userId ?? claims.name },
    };
  }

  #sign(payload: string): Buffer {
    return createHmac('sha256', this.#key).update(payload).digest();
  }
}

/**
 * Takes the tokens out of the subprotocols that a request offers, so that none ever reaches a cluster.
 * @returns the first of them
 */
export function takeWebSocketToken(head: IncomingHead): string | undefined {
  if (!head.offersWebSocketProtocols) return undefined;
  const index = head.forwarded.findIndex(([name]) => name === 'Sec-Websocket-Protocol');
  const lines = head.forwarded[index]?.[1];
  if (lines === undefined || !lines.some((line) => line.includes(SUBPROTOCOL))) return undefined;
  let token: string | undefined;
  const left: string[] = [];
  for (const line of lines) {
    const offered = line.split(',').map((protocol) => protocol.trim());
    const kept = offered.filter((protocol) => !protocol.startsWith(SUBPROTOCOL));
    token ??= offered.find((protocol) => protocol.startsWith(SUBPROTOCOL))?.slice(SUBPROTOCOL.length);
    if (kept.length > 0) left.push(kept.join(', '));
  }
  if (left.length > 0) head.forwarded[index] = ['Sec-Websocket-Protocol', left];
  else head.forwarded.splice(index, 1);
  return token;
}
