import { fromBinary, toBinary } from '@bufbuild/protobuf';
import type { Values } from '../gen/gitlab/agent/prototool/prototool_pb.ts';
import {
  type Descriptor,
  DescriptorSchema,
  ErrorSchema,
  HeaderSchema,
} from '../gen/gitlab/agent/reverse_tunnel/rpc/reverse_tunnel_pb.ts';
import { StatusSchema } from '../gen/google/rpc/status_pb.ts';
import type { Metadata } from '../grpc/metadata.ts';
import { MalformedMessage } from '../grpc/protobuf_wire.ts';
import type { GrpcStatus } from '../grpc/status.ts';
import { AppError } from '../runtime/app_error.ts';
import { StatusCode } from '../runtime/status_code.ts';

/** The members of ConnectRequest that come once per tunnel at the most; the frequent ones are read in place by the tunnel. */

/** Full method names (`/service/method`) that an agent serves through its tunnels. */
export type Methods = ReadonlySet<string>;

/** Agents send the same few bytes with each tunnel: decoded once, kept once. */
const knownDescriptors = new Map<string, Methods>();
const KNOWN_DESCRIPTORS = 100;
const KNOWN_DESCRIPTOR_BYTES = 4096;

/** @throws AppError InvalidArgument with upstream's text if a service or method has no name */
export function decodeDescriptor(bytes: Buffer): Methods {
  const key = bytes.toString('latin1');
  const known = knownDescriptors.get(key);
  if (known !== undefined) return known;
  const methods = readDescriptor(bytes);
  if (bytes.length <= KNOWN_DESCRIPTOR_BYTES && knownDescriptors.size < KNOWN_DESCRIPTORS)
    knownDescriptors.set(key, methods);
  return methods;
}

function readDescriptor(bytes: Uint8Array): Methods {
  const methods = new Set<string>();
  const { agentDescriptor } = decode(() => fromBinary(DescriptorSchema, bytes)) satisfies Descriptor;
  if (agentDescriptor === undefined) throw invalidDescriptor('invalid Descriptor.AgentDescriptor: value is required');
  agentDescriptor.services.forEach((service, i) => {
    const at = `invalid Descriptor.AgentDescriptor: embedded message failed validation | caused by: invalid AgentDescriptor.Services[${i}]: embedded message failed validation | caused by: `;
    if (service.name === '')
      throw invalidDescriptor(`${at}invalid Service.Name: value length must be at least 1 bytes`);
    service.methods.forEach((method, j) => {
      if (method.name === '') {
        throw invalidDescriptor(
          `${at}invalid Service.Methods[${j}]: embedded message failed validation | caused by: invalid Method.Name: value length must be at least 1 bytes`,
        );
      }
      methods.add(`/${service.name}/${method.name}`);
    });
  });
  return methods;
}

/** Header and Trailer have the same shape. */
export function decodeMetadata(bytes: Uint8Array): Metadata {
  const { meta } = decode(() => fromBinary(HeaderSchema, bytes));
  return new Map(Object.entries(meta).map(([key, values]: [string, Values]) => [key, values.value]));
}

/** @throws AppError InvalidArgument if the error has no status */
export function decodeError(bytes: Uint8Array): GrpcStatus {
  const { status } = decode(() => fromBinary(ErrorSchema, bytes));
  if (status === undefined) {
    throw new AppError(
      StatusCode.InvalidArgument,
      'invalid ConnectRequest.Error: embedded message failed validation | caused by: invalid Error.Status: value is required',
    );
  }
  const plain = { code: status.code as StatusCode, message: status.message };
  return status.details.length === 0 ? plain : { ...plain, details: toBinary(StatusSchema, status) };
}

function decode<T>(read: () => T): T {
  try {
    return read();
  } catch (cause) {
    throw cause instanceof AppError ? cause : new MalformedMessage();
  }
}

function invalidDescriptor(cause: string): AppError {
  return new AppError(
    StatusCode.InvalidArgument,
    `invalid ConnectRequest.Descriptor_: embedded message failed validation | caused by: ${cause}`,
  );
}
