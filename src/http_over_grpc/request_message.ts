import { fromBinary } from '@bufbuild/protobuf';
import {
  type HttpRequest,
  type HttpRequest_Header,
  HttpRequestSchema,
} from '../gen/gitlab/agent/grpctool/grpctool_pb.ts';
import { Validator, type Violations } from '../gitlab/validation.ts';
import { AppError } from '../runtime/app_error.ts';
import { StatusCode } from '../runtime/status_code.ts';

/** The part of a request that a message holds. */
export type RequestPart = Exclude<HttpRequest['message'], { case: undefined }>;

/**
 * Reads one message of a client that has HTTP requests made.
 * @throws AppError Internal if it is none, InvalidArgument if something in it may not be
 */
export function readRequestMessage(payload: Buffer): RequestPart {
  let message: HttpRequest['message'];
  try {
    ({ message } = fromBinary(HttpRequestSchema, payload));
  } catch {
    throw new AppError(
      StatusCode.Internal,
      'grpc: error unmarshalling request: proto: cannot parse invalid wire-format data',
    );
  }
  if (message.case === undefined) {
    throw new AppError(StatusCode.InvalidArgument, 'invalid HttpRequest.Message: value is required');
  }
  if (message.case === 'header') {
    const { violations } = new Validator('HttpRequest').embedded('Header', message.value, headerViolations);
    if (violations.length > 0) throw new AppError(StatusCode.InvalidArgument, violations.join('; '));
  }
  return message;
}

function headerViolations({ request, contentLength }: HttpRequest_Header): Violations {
  const validator = new Validator('HttpRequest_Header').required(
    'Request',
    request,
    ({ method, urlPath }) =>
      new Validator('HttpRequest').notEmpty('Method', method).notEmpty('UrlPath', urlPath).violations,
  );
  if (contentLength !== undefined && contentLength < -1n) {
    validator.violation('ContentLength', 'value must be greater than or equal to -1');
  }
  return validator.violations;
}
