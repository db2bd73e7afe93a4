import assert from 'node:assert/strict';
import { test } from 'node:test';
import { create, toBinary } from '@bufbuild/protobuf';
import { payloadsOf } from '../../test/support/doubles/grpc_frames.ts';
import { seededRandom } from '../../test/support/doubles/seeded_random.ts';
import { ConnectResponseSchema } from '../gen/gitlab/agent/reverse_tunnel/rpc/reverse_tunnel_pb.ts';
import { CLOSE_SEND_FRAME, messageFrameSize, requestInfoFrame, writeMessageFrame } from './connect_wire.ts';

type Msg = Parameters<typeof create<typeof ConnectResponseSchema>>[1];

function generated(msg: Msg): Buffer[] {
  return [Buffer.from(toBinary(ConnectResponseSchema, create(ConnectResponseSchema, msg)))];
}

test('request_info is what the generated code makes of it', () => {
  for (const methodName of [
    '/a/B',
    '/gitlab.agent.kubernetes_api.rpc.KubernetesApi/MakeRequest',
    `/ü/${'x'.repeat(200)}`,
  ]) {
    const expected = generated({ msg: { case: 'requestInfo', value: { methodName } } });
    assert.deepEqual(payloadsOf(requestInfoFrame(methodName)), expected);
  }
});

test('messages of any size are what the generated code makes of them', () => {
  const random = seededRandom(1);
  const sizes = [
    0, 1, 121, 122, 123, 124, 125, 126, 127, 128, 16_377, 16_380, 16_383, 16_384, 32_800, 70_000, 2_097_150,
  ];
  for (const size of [...sizes, ...Array.from({ length: 50 }, () => random.below(40_000))]) {
    const data = Buffer.alloc(size, random.below(256));
    const out = Buffer.alloc(messageFrameSize(size) + 2, 0xee);
    assert.equal(writeMessageFrame(out, 1, data), out.length - 1, `${size}`);
    assert.deepEqual([out[0], out.at(-1)], [0xee, 0xee]);
    assert.deepEqual(payloadsOf(out.subarray(1, -1)), generated({ msg: { case: 'message', value: { data } } }));
  }
});

test('close_send is what the generated code makes of it', () => {
  assert.deepEqual(payloadsOf(CLOSE_SEND_FRAME), generated({ msg: { case: 'closeSend', value: {} } }));
});
