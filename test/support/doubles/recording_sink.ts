import type { CallSink } from '../../../src/grpc/call.ts';
import type { Metadata } from '../../../src/grpc/metadata.ts';
import type { GrpcStatus } from '../../../src/grpc/status.ts';

/** Writes down what it hears of a call. */
export class RecordingSink implements CallSink {
  readonly heard: string[] = [];
  ended: GrpcStatus | undefined;
  ends = 0;
  onMessage: (() => void) | undefined;

  header(metadata: Metadata): void {
    this.heard.push(`header ${shown(metadata)}`);
  }

  message(payload: Buffer): void {
    this.heard.push(`message ${payload}`);
    this.onMessage?.();
  }

  trailer(metadata: Metadata): void {
    this.heard.push(`trailer ${shown(metadata)}`);
  }

  end(status: GrpcStatus): void {
    this.heard.push(`end ${status.code} ${status.message}`);
    this.ended = status;
    this.ends++;
  }
}

function shown(metadata: Metadata): string {
  return [...metadata].map(([key, values]) => `${key}=${values.join()}`).join(' ');
}
