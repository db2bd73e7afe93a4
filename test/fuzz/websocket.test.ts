// The WebSocket front: frames and handshakes.
import assert from 'node:assert/strict';
import type { IncomingMessage } from 'node:http';
import fc from 'fast-check';
import { FrameReader, Opcode } from '../../src/net/websocket_frames.ts';
import { acceptHandshake, refuseHandshake, selectSubprotocol } from '../../src/net/websocket_handshake.ts';
import { clientFrame } from '../integration/net/frame_client.ts';
import { fuzz } from './lib/fuzz.ts';
import { bytes, cut, cuts, damaged, damages, latin1 } from './lib/inputs.ts';

const MAX_MESSAGE_BYTES = 1000;

/** All that a reader says about the bytes, however they are cut. */
function read(pieces: readonly Buffer[]) {
  const data: Buffer[] = [];
  const heard: string[] = [];
  const reader = new FrameReader(
    {
      data: (payload) => data.push(Buffer.from(payload)),
      ping: (payload) => heard.push(`ping ${payload.toString('hex')}`),
      close: (code, reason) => heard.push(`close ${code} ${reason}`),
      violation: (code, reason) => heard.push(`violation ${code} ${reason}`),
    },
    MAX_MESSAGE_BYTES,
  );
  for (const piece of pieces) reader.push(piece);
  return { data: Buffer.concat(data), heard };
}

const control = fc.record({
  opcode: fc.constantFrom(Opcode.Ping, Opcode.Pong),
  payload: bytes(125),
});
/** A message in fragments, each with control frames behind it. */
const message = fc.array(fc.tuple(bytes(120), fc.array(control, { maxLength: 2 })), { minLength: 1, maxLength: 5 });

fuzz(
  'valid WebSocket frames give their payloads',
  fc.tuple(fc.array(message, { maxLength: 5 }), cuts),
  ([messages, at]) => {
    const frames: Buffer[] = [];
    const data: Buffer[] = [];
    const heard: string[] = [];
    for (const fragments of messages) {
      for (const [i, [payload, controls]] of fragments.entries()) {
        const frame = clientFrame(i === 0 ? Opcode.Binary : Opcode.Continuation, payload);
        if (i < fragments.length - 1) frame[0] = frame[0]! & 0x7f;
        frames.push(frame);
        data.push(payload);
        for (const { opcode, payload: said } of controls) {
          frames.push(clientFrame(opcode, said));
          if (opcode === Opcode.Ping) heard.push(`ping ${said.toString('hex')}`);
        }
      }
    }
    assert.deepEqual(read(cut(Buffer.concat(frames), at)), { data: Buffer.concat(data), heard });
  },
);

fuzz(
  'damaged WebSocket frames say the same however they are cut, and end with the first violation',
  fc.tuple(fc.array(fc.tuple(fc.integer({ min: 0, max: 15 }), bytes(200)), { maxLength: 6 }), damages(), cuts),
  ([frames, damage, at]) => {
    const stream = damaged(Buffer.concat(frames.map(([opcode, payload]) => clientFrame(opcode, payload))), damage);
    const whole = read([Buffer.from(stream)]);
    assert.deepEqual(read(cut(stream, at)), whole);
    const final = whole.heard.findIndex((text) => !text.startsWith('ping'));
    if (final >= 0) assert.equal(final, whole.heard.length - 1);
    assert.ok(whole.data.length <= stream.length);
  },
);

const header = fc.oneof(fc.constantFrom('Upgrade', 'websocket', '13', 'ws-tunnel', 'h', 'http://h', 'GET'), latin1());

fuzz(
  'a WebSocket handshake is refused in words or accepted in one head',
  fc.record({
    method: header,
    httpVersion: fc.constantFrom('1.1', '1.0', '0.9', '2.0'),
    headers: fc.dictionary(
      fc.constantFrom(
        'connection',
        'upgrade',
        'host',
        'origin',
        'sec-websocket-version',
        'sec-websocket-key',
        'sec-websocket-protocol',
      ),
      header,
    ),
  }),
  ({ method, httpVersion, headers }) => {
    const [major = 0, minor = 0] = httpVersion.split('.').map(Number);
    // The HTTP parser lets no line breaks through.
    for (const [name, value] of Object.entries(headers)) headers[name] = value.replaceAll(/[\r\n\0]/g, '');
    const request = { method, httpVersion, httpVersionMajor: major, httpVersionMinor: minor, headers };
    const refusal = refuseHandshake(request as unknown as IncomingMessage);
    if (refusal !== undefined) {
      assert.match(String(refusal.status), /^4\d\d$/);
      for (const value of Object.values(refusal.headers)) assert.doesNotMatch(value, /[\r\n]/);
      return;
    }
    assert.equal(method, 'GET');
    assert.ok(headers['sec-websocket-key']);
    const chosen = selectSubprotocol(request as unknown as IncomingMessage);
    assert.match(chosen, /^(ws-tunnel)?$/i);
    const head = acceptHandshake(request as unknown as IncomingMessage, chosen, 'gitlab-kas/x/y');
    assert.equal(head.split('\r\n').length, chosen === '' ? 7 : 8);
    assert.equal(head.indexOf('\r\n\r\n'), head.length - 4);
  },
);
