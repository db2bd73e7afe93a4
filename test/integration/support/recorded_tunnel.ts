import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fromBinary } from '@bufbuild/protobuf';
import { type HttpResponse, HttpResponseSchema } from '../../../src/gen/gitlab/agent/grpctool/grpctool_pb.ts';
import { ConnectRequestSchema } from '../../../src/gen/gitlab/agent/reverse_tunnel/rpc/reverse_tunnel_pb.ts';
import type { compareMessage } from '../codec/recorded_form.ts';

/** One event of a recorded stream, as test/vectors/README.md describes it. */
export interface RecordedEvent {
  readonly from: 'client' | 'server';
  readonly headers?: [string, string][];
  readonly message?: { compressed: boolean; hex: string; decoded: Parameters<typeof compareMessage>[1]; type: string };
  readonly trailers?: [string, string][];
  readonly trailers_only?: [string, string][];
  readonly rst_stream?: number;
  readonly end_stream?: boolean;
}

export interface RecordedTunnel {
  readonly name: string;
  readonly tunnel: readonly [{ readonly events: readonly RecordedEvent[] }];
  readonly kube_received?: readonly {
    request_line: string;
    headers: [string, string][];
    body_framing: string;
    body: string;
  }[];
}

export const vectorFolder: string = join(import.meta.dirname, '../../vectors/tunnel');

export function readRecorded(file: string): RecordedTunnel {
  return JSON.parse(readFileSync(join(vectorFolder, file), 'utf8')) as RecordedTunnel;
}

/** What agentk made of the API server's answer: from this the answer itself can be told. */
export function httpResponses(recorded: RecordedTunnel): HttpResponse[] {
  return recorded.tunnel[0].events.flatMap((event) => {
    if (event.from !== 'client' || event.message === undefined) return [];
    const { msg } = fromBinary(ConnectRequestSchema, Buffer.from(event.message.hex, 'hex'));
    return msg.case === 'message' ? [fromBinary(HttpResponseSchema, msg.value.data)] : [];
  });
}

/** Whether agentk said that the call was over; it does only once the API server's side is. */
export function callWasCompleted(recorded: RecordedTunnel): boolean {
  return recorded.tunnel[0].events.some((event) => {
    if (event.from !== 'client' || event.message === undefined) return false;
    return fromBinary(ConnectRequestSchema, Buffer.from(event.message.hex, 'hex')).msg.case === 'trailer';
  });
}
