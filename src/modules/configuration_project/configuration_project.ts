import type { ConnectRouter, HandlerContext } from '@connectrpc/connect';
import {
  ConfigurationProject,
  type ListAgentConfigFilesRequest,
} from '../../gen/gitlab/agent/configuration_project/rpc/configuration_project_pb.ts';
import type { GitalyClient, ListedFile } from '../../gitaly/client.ts';
import { GitalyError } from '../../gitaly/gitaly_error.ts';
import { validateGitalyInfo, validateGitalyRepository } from '../../gitlab/gitaly_validation.ts';
import { Validator } from '../../gitlab/validation.ts';
import { Hint } from '../../observability/hints.ts';
import type { Log } from '../../observability/log.ts';
import { callTrail, requestSpan } from '../../rpc/traced_calls.ts';
import { requireValid } from '../../rpc/valid_request.ts';
import { AppError, errorText } from '../../runtime/app_error.ts';
import { StatusCode } from '../../runtime/status_code.ts';

const LOGGED = { grpc_service: ConfigurationProject.typeName, grpc_method: 'ListAgentConfigFiles' };
const FOLDER = '.gitlab/agents';
const CONFIGURATION = /^\.gitlab\/agents\/([a-z0-9](?:[-a-z0-9]*[a-z0-9])?)\/config\.yaml$/;

/** ConfigurationProject: which agents a repository has configuration files for (docs/protocol/agent_configuration.md). */
export function createConfigurationProject(deps: {
  readonly gitaly: Pick<GitalyClient, 'listFiles'>;
  readonly log: Log;
}): (router: ConnectRouter) => void {
  return (router) =>
    router.service(ConfigurationProject, {
      async listAgentConfigFiles(request, context) {
        requireValid(
          new Validator('ListAgentConfigFilesRequest')
            .required('Repository', request.repository, validateGitalyRepository)
            .required('GitalyInfo', request.gitalyInfo, validateGitalyInfo).violations,
        );
        const configFiles = [];
        for (const { path } of await listed(deps, request, context)) {
          const agentName = CONFIGURATION.exec(path)?.[1];
          if (agentName !== undefined) configFiles.push({ name: path, agentName });
        }
        return { configFiles };
      },
    });
}

/** No such branch or folder: no files. */
async function listed(
  { gitaly, log }: { readonly gitaly: Pick<GitalyClient, 'listFiles'>; readonly log: Log },
  request: ListAgentConfigFilesRequest,
  context: HandlerContext,
): Promise<readonly ListedFile[]> {
  const { gitalyInfo, repository, defaultBranch } = request;
  if (gitalyInfo === undefined || repository === undefined) return [];
  const timeoutMs = context.timeoutMs();
  try {
    return await gitaly.listFiles(
      { gitaly: gitalyInfo, repository },
      { revision: revisionOf(defaultBranch), path: FOLDER },
      {
        signal: context.signal,
        span: context.values.get(requestSpan),
        ...(timeoutMs !== undefined && { timeoutMs }),
      },
    );
  } catch (error) {
    if (context.signal.aborted) throw error;
    if (error instanceof GitalyError && error.kind === 'NotFound') return [];
    const text = errorText(error);
    log.error('PathFetcher', {
      ...LOGGED,
      project_id: repository.glProjectPath,
      error: text,
      hint: Hint.gitaly,
      ...callTrail(context.values),
    });
    const code = error instanceof AppError && error.code === StatusCode.InvalidArgument;
    throw new AppError(code ? StatusCode.InvalidArgument : StatusCode.Unavailable, `PathFetcher: ${text}`, {
      cause: error,
    });
  }
}

function revisionOf(branch: string): string {
  if (branch === '') return 'HEAD';
  return branch.startsWith('refs/heads/') ? branch : `refs/heads/${branch}`;
}
