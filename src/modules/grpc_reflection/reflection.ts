import {
  create,
  type DescFile,
  type DescService,
  fromBinary,
  type MessageInitShape,
  toBinary,
} from '@bufbuild/protobuf';
import { FileDescriptorProtoSchema } from '@bufbuild/protobuf/wkt';
import type { ConnectRouter } from '@connectrpc/connect';
import {
  ServerReflection as ReflectionV1,
  type ServerReflectionRequest,
  ServerReflectionRequestSchema,
  type ServerReflectionResponse,
  ServerReflectionResponseSchema,
} from '../../gen/grpc/reflection/v1/reflection_pb.ts';
import {
  ServerReflectionRequestSchema as AlphaRequestSchema,
  ServerReflectionResponseSchema as AlphaResponseSchema,
  ServerReflection as ReflectionV1Alpha,
} from '../../gen/grpc/reflection/v1alpha/reflection_pb.ts';
import { untilAged } from '../../rpc/connection.ts';
import { StatusCode } from '../../runtime/status_code.ts';
import { Descriptors } from './descriptors.ts';

type Answer = NonNullable<MessageInitShape<typeof ServerReflectionResponseSchema>['messageResponse']>;

/** Server reflection: clients without proto files ask what is served. Both versions are the same on the wire. */
export function createReflection(services: readonly DescService[]): (router: ConnectRouter) => void {
  const all = [...services, ReflectionV1, ReflectionV1Alpha];
  const descriptors = new Descriptors(all);
  const names = all.map(({ typeName }) => typeName).sort();
  const answer = (request: ServerReflectionRequest): ServerReflectionResponse =>
    create(ServerReflectionResponseSchema, {
      validHost: request.host,
      originalRequest: request,
      messageResponse: answerTo(request.messageRequest, descriptors, names),
    });
  return (router) => {
    router.service(ReflectionV1, {
      async *serverReflectionInfo(requests, { values }) {
        for await (const request of untilAged(requests, values)) yield answer(request);
      },
    });
    router.service(ReflectionV1Alpha, {
      async *serverReflectionInfo(requests, { values }) {
        for await (const request of untilAged(requests, values)) {
          const question = fromBinary(ServerReflectionRequestSchema, toBinary(AlphaRequestSchema, request));
          yield fromBinary(AlphaResponseSchema, toBinary(ServerReflectionResponseSchema, answer(question)));
        }
      },
    });
  };
}

function answerTo(
  question: ServerReflectionRequest['messageRequest'],
  descriptors: Descriptors,
  services: readonly string[],
): Answer {
  switch (question.case) {
    case 'listServices':
      return { case: 'listServicesResponse', value: { service: services.map((name) => ({ name })) } };
    case 'fileByFilename':
      return files(descriptors, descriptors.fileByName(question.value), `File not found: ${question.value}`);
    case 'fileContainingSymbol':
      return files(descriptors, descriptors.fileOf(question.value), `Symbol not found: ${question.value}`);
    case 'fileContainingExtension':
      return notFound(`Extension not found: ${question.value.containingType} ${question.value.extensionNumber}`);
    case 'allExtensionNumbersOfType':
      // None of what is served can be extended.
      return { case: 'allExtensionNumbersResponse', value: { baseTypeName: question.value, extensionNumber: [] } };
    case undefined:
      return {
        case: 'errorResponse',
        value: { errorCode: StatusCode.InvalidArgument, errorMessage: 'nothing is asked' },
      };
  }
}

function files(descriptors: Descriptors, file: DescFile | undefined, otherwise: string): Answer {
  if (file === undefined) return notFound(otherwise);
  const fileDescriptorProto = descriptors.closure(file).map(({ proto }) => toBinary(FileDescriptorProtoSchema, proto));
  return { case: 'fileDescriptorResponse', value: { fileDescriptorProto } };
}

function notFound(errorMessage: string): Answer {
  return { case: 'errorResponse', value: { errorCode: StatusCode.NotFound, errorMessage } };
}
