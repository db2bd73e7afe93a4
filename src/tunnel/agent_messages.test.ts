import assert from 'node:assert/strict';
import { test } from 'node:test';
import { create, fromBinary, toBinary } from '@bufbuild/protobuf';
import {
  DescriptorSchema,
  ErrorSchema,
  HeaderSchema,
  TrailerSchema,
} from '../gen/gitlab/agent/reverse_tunnel/rpc/reverse_tunnel_pb.ts';
import { StatusSchema } from '../gen/google/rpc/status_pb.ts';
import { MalformedMessage } from '../grpc/protobuf_wire.ts';
import { StatusCode } from '../runtime/status_code.ts';
import { decodeDescriptor, decodeError, decodeMetadata } from './agent_messages.ts';

function descriptor(services: Record<string, string[]>): Buffer {
  const list = Object.entries(services).map(([name, methods]) => ({
    name,
    methods: methods.map((m) => ({ name: m })),
  }));
  return Buffer.from(toBinary(DescriptorSchema, create(DescriptorSchema, { agentDescriptor: { services: list } })));
}

test('a descriptor becomes full method names', () => {
  const methods = decodeDescriptor(descriptor({ 'a.B': ['C', 'D'], 'e.F': ['G'], 'h.I': [] }));
  assert.deepEqual([...methods], ['/a.B/C', '/a.B/D', '/e.F/G']);
});

test('the same descriptor is decoded once, another one is not mistaken for it', () => {
  const bytes = descriptor({ 'a.B': ['C'] });
  assert.equal(decodeDescriptor(bytes), decodeDescriptor(Buffer.from(bytes)));
  assert.deepEqual([...decodeDescriptor(descriptor({ 'a.B': ['D'] }))], ['/a.B/D']);
});

test('an agent cannot make the server remember without end', () => {
  for (let i = 0; i < 200; i++) decodeDescriptor(descriptor({ [`service${i}`]: ['M'] }));
  const late = descriptor({ late: ['M'] });
  assert.notEqual(decodeDescriptor(late), decodeDescriptor(late));
  assert.deepEqual([...decodeDescriptor(late)], ['/late/M']);
});

test('what a descriptor lacks is said as upstream says it', () => {
  const prefix = 'invalid ConnectRequest.Descriptor_: embedded message failed validation | caused by: ';
  const inService = (index: number) =>
    `${prefix}invalid Descriptor.AgentDescriptor: embedded message failed validation | caused by: invalid AgentDescriptor.Services[${index}]: embedded message failed validation | caused by: `;
  const cases: [Buffer, string][] = [
    [Buffer.alloc(0), `${prefix}invalid Descriptor.AgentDescriptor: value is required`],
    [descriptor({ a: ['B'], '': ['C'] }), `${inService(1)}invalid Service.Name: value length must be at least 1 bytes`],
    [
      descriptor({ a: ['B', ''] }),
      `${inService(0)}invalid Service.Methods[1]: embedded message failed validation | caused by: invalid Method.Name: value length must be at least 1 bytes`,
    ],
  ];
  for (const [bytes, message] of cases) {
    assert.throws(() => decodeDescriptor(bytes), { code: StatusCode.InvalidArgument, message });
  }
});

test('an agent may serve nothing', () => {
  assert.deepEqual([...decodeDescriptor(Buffer.from([0x0a, 0]))], []);
});

test('header and trailer are read alike', () => {
  const meta = { 'content-type': { value: ['application/grpc'] }, twice: { value: ['b', 'a'] }, empty: { value: [] } };
  const expected = [
    ['content-type', ['application/grpc']],
    ['empty', []],
    ['twice', ['b', 'a']],
  ];
  for (const schema of [HeaderSchema, TrailerSchema]) {
    const decoded = decodeMetadata(toBinary(schema, create(schema, { meta })));
    assert.deepEqual([...decoded].sort(), expected);
  }
  assert.equal(decodeMetadata(Buffer.alloc(0)).size, 0);
});

test('an error is a status, with its details as they came', () => {
  const plain = create(ErrorSchema, { status: { code: 14, message: 'x' } });
  assert.deepEqual(decodeError(toBinary(ErrorSchema, plain)), { code: StatusCode.Unavailable, message: 'x' });

  const details = [{ typeUrl: 'type.googleapis.com/x', value: Uint8Array.of(1, 2) }];
  const detailed = create(ErrorSchema, { status: { code: 5, message: '', details } });
  const decoded = decodeError(toBinary(ErrorSchema, detailed));
  assert.equal(decoded.code, StatusCode.NotFound);
  assert.deepEqual(fromBinary(StatusSchema, decoded.details!), create(StatusSchema, { code: 5, details }));

  assert.throws(() => decodeError(Buffer.alloc(0)), {
    code: StatusCode.InvalidArgument,
    message:
      'invalid ConnectRequest.Error: embedded message failed validation | caused by: invalid Error.Status: value is required',
  });
});

test('bytes that are no message are malformed, whatever they were to be', () => {
  const broken = Buffer.from('0a05', 'hex');
  for (const decode of [decodeDescriptor, decodeMetadata, decodeError]) {
    assert.throws(() => decode(broken), MalformedMessage);
  }
});
