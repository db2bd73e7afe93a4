import {
  create,
  type DescMessage,
  fromBinary,
  type MessageInitShape,
  type MessageShape,
  toBinary,
} from '@bufbuild/protobuf';
import { USUAL_MESSAGES } from '../../../src/grpc/message_reader.ts';
import { type CallServer, ServerCall } from '../../../src/grpc/server_call.ts';
import { FakeClock } from '../../../src/runtime/fake_clock.ts';
import { FakeCallSession } from './call_session.ts';
import { frame, payloadsOf } from './grpc_frames.ts';
import { FakeHttp2Stream } from './http2_stream.ts';

/** The server of calls that are expected to have no defect: lets the test fail. */
export const server: CallServer = {
  onDefect(_, error) {
    throw error;
  },
  messages: USUAL_MESSAGES,
  requests: { known: USUAL_MESSAGES, stranger: USUAL_MESSAGES },
};

/** A call on a stream without a connection, with what a test wants to do as its client. */
export function playedCall(headers: Record<string, string> = {}) {
  const clock = new FakeClock();
  const session = new FakeCallSession(clock);
  const stream = new FakeHttp2Stream();
  const call = new ServerCall(stream, headers, session, '/s/M', false, server);
  return {
    clock,
    session,
    stream,
    call,
    /** The client sends its only request. */
    asks<T extends DescMessage>(schema: T, message: MessageInitShape<T>): void {
      stream.receive(frame(toBinary(schema, create(schema, message))));
      stream.receiveEnd();
    },
    answers: <T extends DescMessage>(schema: T): MessageShape<T>[] =>
      payloadsOf(stream.written).map((payload) => fromBinary(schema, payload)),
    status: () => stream.trailers && `${stream.trailers['grpc-status']} ${stream.trailers['grpc-message']}`,
  };
}
