import type { Impersonation } from '../config/config.ts';
import type { AllowedAgentsForJob, AuthorizeProxyUserResponse } from '../gen/gitlab/agent/gitlab/api/api_pb.ts';
import type { CallOptions } from '../gitlab/client.ts';
import { GitLabError } from '../gitlab/gitlab_error.ts';
import { AppError } from '../runtime/app_error.ts';
import { StatusCode } from '../runtime/status_code.ts';

/** What a user of the Kubernetes API proxy shows, besides a CI job token. */
export interface UserCredential {
  readonly agentId: bigint;
  readonly accessType: 'session_cookie' | 'personal_access_token';
  /** The form-decoded cookie, or the token. */
  readonly accessKey: string;
  /** Empty for tokens. */
  readonly csrfToken: string;
}

/** Who the user is, in the words of whoever answers for it. */
export type ProxyUser =
  | { readonly kind: 'gitlab'; readonly response: AuthorizeProxyUserResponse }
  /** `impersonation` undefined: the user acts as the agent itself. */
  | { readonly kind: 'standalone'; readonly name: string; readonly impersonation: Impersonation | undefined };

/**
 * Who may use which agent. Asks GitLab, or the `standalone` section.
 *
 * Both questions reject with the signal's reason when it fires, and else with an AppError; `refusalStatus` tells a
 * refused credential from a failure to find out.
 */
export interface UserAuthorizer {
  /** The agents that the job may use; whether `agentId` is among them is for the caller to see. */
  ciJob(agentId: bigint, jobToken: string, options: CallOptions): Promise<AllowedAgentsForJob>;
  /** The answer if it is in memory and fresh: a proxied request then waits for nothing. */
  peekCiJob(agentId: bigint, jobToken: string): AllowedAgentsForJob | undefined;
  proxyUser(credential: UserCredential, options: CallOptions): Promise<ProxyUser>;
  peekProxyUser(credential: UserCredential): ProxyUser | undefined;
}

/** 401, 403 or 404 if the credential was refused (by GitLab or by the `standalone` section), undefined for any other failure. */
export function refusalStatus(error: unknown): 401 | 403 | 404 | undefined {
  if (error instanceof GitLabError) {
    return error.status === 401 || error.status === 403 || error.status === 404 ? error.status : undefined;
  }
  if (!(error instanceof AppError)) return undefined;
  if (error.code === StatusCode.Unauthenticated) return 401;
  return error.code === StatusCode.PermissionDenied ? 403 : undefined;
}
