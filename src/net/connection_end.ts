import type { Duplex } from 'node:stream';
import type { Clock } from '../runtime/clock.ts';
import type { ByteCounts } from './session.ts';

/** How long a connection was there and what it has carried, as the log has it. */
interface ConnectionFigures {
  readonly duration_ms: number;
  readonly bytes_in: number;
  readonly bytes_out: number;
}

/** Tells of a connection's end, once. `byPeer`: the other side ended it in order. */
export function onConnectionEnd(
  transport: Duplex & ByteCounts,
  clock: Clock,
  tell: (figures: ConnectionFigures, byPeer: boolean) => void,
): void {
  const startedAtMs = clock.monotonicMs();
  let byPeer = false;
  transport.on('end', () => {
    byPeer = true;
  });
  transport.on('close', () => {
    const { bytesRead, bytesWritten } = transport;
    const duration_ms = Math.round(clock.monotonicMs() - startedAtMs);
    tell({ duration_ms, bytes_in: bytesRead, bytes_out: bytesWritten }, byPeer);
  });
}
