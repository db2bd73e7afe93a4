import type { Call, FrameSink } from '../grpc/call.ts';
import type { Metadata } from '../grpc/metadata.ts';
import type { Tunnel } from '../tunnel/tunnel.ts';
import type { PeerStream } from './peer_stream.ts';

/** A tunnel that is held for another node, until that one says that it takes it. */
export interface HeldTunnel {
  /** Whether it is still there. */
  readonly usable: boolean;
  open(sink: FrameSink): Call;
  /** The other node does not take it. */
  giveBack(): void;
}

interface HeldCall {
  readonly method: string;
  readonly metadata: Metadata;
  /** Whether the other node takes compressed messages. */
  readonly gzip: boolean;
}

/** A tunnel of this process. */
export function heldHere(tunnel: Tunnel, { method, metadata, gzip }: HeldCall): HeldTunnel {
  tunnel.hold();
  return {
    get usable() {
      return tunnel.idle;
    },
    open: (sink) => tunnel.openFrames(method, sink, { metadata, gzip }),
    giveBack: () => tunnel.release(),
  };
}

/** A tunnel of a sibling, which holds it for us. */
export function heldBySibling(stream: PeerStream, { gzip }: HeldCall): HeldTunnel {
  return {
    get usable() {
      return stream.held;
    },
    open: (sink) => stream.startFrames(sink, gzip),
    giveBack: () => stream.cancel(),
  };
}
