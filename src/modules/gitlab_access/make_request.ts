import type { IncomingHttpHeaders } from 'node:http';
import { fromBinary } from '@bufbuild/protobuf';
import type { Any } from '@bufbuild/protobuf/wkt';
import type { AgentMethod } from '../../auth/agent_method.ts';
import { HeaderExtraSchema } from '../../gen/gitlab/agent/gitlab_access/rpc/gitlab_access_pb.ts';
import type { HttpRequest_Header } from '../../gen/gitlab/agent/grpctool/grpctool_pb.ts';
import type { Values } from '../../gen/gitlab/agent/prototool/prototool_pb.ts';
import type { GitLabClient } from '../../gitlab/client.ts';
import type { ServerCall } from '../../grpc/server_call.ts';
import { addConnectionTokens, canonicalHeaderName, HOP_BY_HOP_HEADERS } from '../../http_over_grpc/header_name.ts';
import type { ValueList } from '../../http_over_grpc/http_wire.ts';
import { type MakeRequest, ServedRequest } from '../../http_over_grpc/served_request.ts';
import type { Log } from '../../observability/log.ts';
import { AppError } from '../../runtime/app_error.ts';
import { StatusCode } from '../../runtime/status_code.ts';

/** In lower case. */
const connectionHeaders = new Set(['connection', ...HOP_BY_HOP_HEADERS.map((name) => name.toLowerCase())]);

/**
 * GitlabAccess/MakeRequest: hands HTTP requests of an agent's modules to GitLab, with the agent's token
 * (docs/protocol/gitlab_access.md). GitLab says whether the token is any good.
 */
export function createGitLabAccess(deps: {
  /** Undefined if the server stands alone. */
  readonly gitlab: Pick<GitLabClient, 'moduleRequest'> | undefined;
  readonly log: Log;
}): AgentMethod {
  const { gitlab } = deps;
  const log = deps.log.with({
    grpc_service: 'gitlab.agent.gitlab_access.rpc.GitlabAccess',
    grpc_method: 'MakeRequest',
  });
  return {
    path: '/gitlab.agent.gitlab_access.rpc.GitlabAccess/MakeRequest',
    handle(call, token) {
      if (gitlab === undefined) {
        throw new AppError(StatusCode.Unimplemented, 'this server has no GitLab to hand requests to');
      }
      new ServedRequest(call, (head) => requestMaker(gitlab, token, call, head, log), log).start();
    },
  };
}

function requestMaker(
  gitlab: Pick<GitLabClient, 'moduleRequest'>,
  token: string,
  call: ServerCall,
  { request, extra }: HttpRequest_Header,
  log: Log,
): MakeRequest {
  const { method = '', urlPath: path = '', header = {}, query = {} } = request ?? {};
  if (log.debugEnabled) log.debug(`Handling ${method} ${path}`, call.trail());
  const module = moduleName(extra);
  if (Object.keys(header).some((name) => name.toLowerCase() === 'upgrade')) {
    throw new AppError(StatusCode.Unavailable, 'connection upgrade is not supported');
  }
  const asked = { method, module, path, query: lists(query), headers: lists(header) };
  return async (body, signal) => {
    const answer = await gitlab.moduleRequest(token, { ...asked, body }, call.onBehalf(signal));
    return { status: answer.status, headers: responseHeaders(answer.headers), body: answer.body };
  };
}

/** @throws AppError with the texts that Go's protobuf library has for it */
function moduleName(extra: Any | undefined): string {
  if (extra === undefined) throw new AppError(StatusCode.Unavailable, 'proto: invalid nil source message');
  const type = extra.typeUrl.slice(extra.typeUrl.lastIndexOf('/') + 1);
  if (type !== HeaderExtraSchema.typeName) {
    const message = `proto: mismatched message type: got "${HeaderExtraSchema.typeName}", want "${type}"`;
    throw new AppError(StatusCode.Unavailable, message);
  }
  try {
    return fromBinary(HeaderExtraSchema, extra.value).moduleName;
  } catch {
    throw new AppError(StatusCode.Unavailable, 'proto: cannot parse invalid wire-format data');
  }
}

function lists(map: Readonly<Record<string, Values>>): Record<string, string[]> {
  return Object.fromEntries(Object.entries(map).map(([name, { value }]) => [name, value]));
}

function responseHeaders(headers: IncomingHttpHeaders): ValueList {
  const named = addConnectionTokens(headers.connection ?? '', undefined);
  const list: [string, string[]][] = [];
  for (const [name, value] of Object.entries(headers)) {
    if (value === undefined || connectionHeaders.has(name) || named?.has(name)) continue;
    list.push([canonicalHeaderName(name), [value].flat()]);
  }
  return list;
}
