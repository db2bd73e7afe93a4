import { type DescMessage, fromJson, type JsonValue, type MessageShape } from '@bufbuild/protobuf';
import { AppError, errorText } from '../runtime/app_error.ts';
import type { Clock } from '../runtime/clock.ts';
import { StatusCode } from '../runtime/status_code.ts';
import { discardBody, readBody } from './body.ts';
import { GitLabError } from './gitlab_error.ts';
import type { HttpResponse } from './transport.ts';
import type { Violations } from './validation.ts';

/** Answers are read whole; the largest lists a few thousand agents. */
const MAX_ANSWER = 16 * 1024 * 1024;
/** A reason is a sentence; it is kept in the caches. */
const MAX_ERROR_ANSWER = 8 * 1024;

export interface ExpectedAnswer<Desc extends DescMessage> {
  readonly schema: Desc;
  readonly validate: (message: MessageShape<Desc>) => Violations;
  /** Whether GitLab says in the body why it refuses. */
  readonly readsReason?: boolean;
}

/**
 * The JSON of an answer with status 200 or 201 as a valid message. Members that the schema does not know are ignored.
 * Rejects with GitLabError for any other status, with AppError if the answer is not what it should be.
 *
 * @param path for error texts
 */
export async function readAnswer<Desc extends DescMessage>(
  response: HttpResponse,
  path: string,
  expected: ExpectedAnswer<Desc>,
  signal: AbortSignal,
  clock: Clock,
): Promise<MessageShape<Desc>> {
  if (response.status !== 200 && response.status !== 201) {
    const reason = expected.readsReason ? await readReason(response, clock) : undefined;
    if (reason === undefined) discardBody(response.body, clock);
    throw new GitLabError(response.status, path, reason);
  }
  const contentType = response.headers['content-type'];
  if (!isJson(contentType)) {
    discardBody(response.body, clock);
    throw new AppError(StatusCode.Internal, `unexpected Content-Type in response: "${contentType ?? ''}"`, {
      hint: 'something else than GitLab answers under gitlab.address: is its path complete (a relative URL root), and is no login page or proxy in between?',
    });
  }
  const message = parse(expected.schema, await readWhole(response, path, signal, clock));
  const violations = expected.validate(message);
  if (violations.length > 0) throw badAnswer(`ValidateAll: ${violations.join('; ')}`);
  return message;
}

/**
 * Gets rid of the body of an answer that only says "done": status 200 or 204, whatever else is in it.
 *
 * @param path for error texts
 * @throws GitLabError for any other status
 */
export function readNoContent(response: HttpResponse, path: string, clock: Clock): void {
  discardBody(response.body, clock);
  if (response.status !== 200 && response.status !== 204) throw new GitLabError(response.status, path);
}

async function readWhole(response: HttpResponse, path: string, signal: AbortSignal, clock: Clock): Promise<Buffer> {
  try {
    return await readBody(response, MAX_ANSWER, clock);
  } catch (error) {
    if (signal.aborted) throw signal.reason;
    throw new AppError(StatusCode.Unavailable, `reading the response for path ${path}: ${errorText(error)}`, {
      cause: error,
    });
  }
}

/** The parsers' own texts quote what they could not read, and an answer may hold tokens. */
function parse<Desc extends DescMessage>(schema: Desc, body: Buffer): MessageShape<Desc> {
  let json: JsonValue;
  try {
    json = JSON.parse(body.toString('utf8'));
  } catch {
    throw badAnswer('protojson.Unmarshal: the response is not valid JSON');
  }
  try {
    return fromJson(schema, json, { ignoreUnknownFields: true });
  } catch (error) {
    const field = /field ([\w.]+)/.exec(errorText(error))?.[1];
    throw badAnswer(`protojson.Unmarshal: ${field ?? 'the response'} has a value of the wrong type`);
  }
}

async function readReason(response: HttpResponse, clock: Clock): Promise<string> {
  const contentType = response.headers['content-type'];
  if (contentType === undefined) return '<unknown reason: missing content type header to read reason>';
  if (!isJson(contentType)) {
    return `<unknown reason: expected application/json content type, but got ${contentType}>`;
  }
  let body: Buffer;
  try {
    body = await readBody(response, MAX_ERROR_ANSWER, clock);
  } catch (error) {
    return `<unknown reason: unable to read response body: ${errorText(error)}>`;
  }
  try {
    const { message } = JSON.parse(body.toString('utf8'));
    return typeof message === 'string' ? message : '<unknown reason: the response has no message>';
  } catch {
    return '<unknown reason: the response is not valid JSON>';
  }
}

export function isJson(contentType: string | undefined): boolean {
  return contentType?.split(';', 1)[0]?.trim().toLowerCase() === 'application/json';
}

function badAnswer(message: string): AppError {
  return new AppError(StatusCode.Internal, message);
}
