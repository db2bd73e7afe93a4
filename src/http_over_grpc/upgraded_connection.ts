import type { Call } from '../grpc/call.ts';
import type { GrpcStatus } from '../grpc/status.ts';
import { returnBuffer } from '../runtime/buffer_pool.ts';
import { StatusCode } from '../runtime/status_code.ts';
import type { ExchangeCounts, UpgradeSocket } from './http_exchange.ts';
import { encodeData, HttpPart } from './http_wire.ts';
import { CHUNK_BYTES } from './request_body.ts';

/**
 * How long an agent may say nothing after the client has closed its side: the cluster may have much to answer yet. Real agents
 * end the call only when the cluster closes too, which may never happen; the client is gone by then.
 */
const FAREWELL_MS = 5000;

/** How long a client may take to read what was left when the agent ended the call. */
const LAST_BYTES_MS = 60_000;

const GONE: GrpcStatus = { code: StatusCode.Canceled, message: 'Incoming stream closed: context canceled' };

/** A connection after 101: raw bytes both ways (docs/protocol/http_over_grpc.md, upgrades). */
export class UpgradedConnection {
  readonly #call: Call;
  readonly #upgrade: UpgradeSocket;
  readonly #counts: ExchangeCounts | undefined;
  #over = false;
  /** Runs while the agent says nothing to a client that has closed its side. */
  #farewell: { stop(): void } | undefined;

  /** @param head status line and headers of the 101 */
  constructor(call: Call, upgrade: UpgradeSocket, head: string, counts: ExchangeCounts | undefined) {
    this.#call = call;
    this.#upgrade = upgrade;
    this.#counts = counts;
    const { socket } = upgrade;
    socket.on('error', () => {}); // 'close' follows
    socket.on('close', () => {
      this.#farewell?.stop();
      this.#clientGone();
    });
    socket.on('drain', () => {
      if (this.#farewell !== undefined) this.#awaitMore();
      call.resume();
    });
    socket.write(head, 'latin1');
  }

  /** The agent has switched too: the client's bytes may go. */
  start(): void {
    const { socket, head } = this.#upgrade;
    this.#call.onDrain(() => socket.resume());
    if (head.length > 0) this.#send(head);
    socket.on('data', (chunk: Buffer) => {
      if (!this.#send(chunk)) socket.pause();
    });
    socket.on('end', () => {
      this.#call.halfClose();
      this.#awaitMore();
    });
    socket.resume();
  }

  /** Bytes of the cluster. */
  receive(data: Buffer): void {
    const { socket } = this.#upgrade;
    if (this.#counts !== undefined) this.#counts.bytesOut += data.length;
    if (this.#farewell !== undefined) this.#awaitMore();
    if (!socket.destroyed && !socket.write(data, () => returnBuffer(data))) this.#call.pause();
  }

  /** The call is over. */
  end(status: GrpcStatus): void {
    this.#over = true;
    const { socket } = this.#upgrade;
    if (status.code !== StatusCode.OK) {
      socket.destroy();
      return;
    }
    const cut = this.#upgrade.timeout(LAST_BYTES_MS, () => socket.destroy());
    socket.on('close', () => cut.stop());
    socket.end(() => socket.destroy());
  }

  #awaitMore(): void {
    this.#farewell?.stop();
    this.#farewell = this.#upgrade.timeout(FAREWELL_MS, () => this.#clientGone());
  }

  #send(bytes: Buffer): boolean {
    if (this.#counts !== undefined) this.#counts.bytesIn += bytes.length;
    let ready = true;
    for (let at = 0; at < bytes.length; at += CHUNK_BYTES) {
      ready = this.#call.write(encodeData(HttpPart.upgradeData, bytes.subarray(at, at + CHUNK_BYTES)));
    }
    return ready;
  }

  #clientGone(): void {
    if (this.#over) return;
    this.#over = true;
    this.#call.cancel(GONE);
    this.#upgrade.socket.destroy();
  }
}
