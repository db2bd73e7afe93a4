import { type ProxyUser, refusalStatus, type UserAuthorizer, type UserCredential } from '../../auth/user_authorizer.ts';
import type { AllowedAgentsForJob } from '../../gen/gitlab/agent/gitlab/api/api_pb.ts';
import type { CallOptions } from '../../gitlab/client.ts';
import { Hint } from '../../observability/hints.ts';
import type { Fields, Log } from '../../observability/log.ts';
import type { RequestContext } from '../../observability/tracer.ts';
import { trailOf } from '../../observability/trail.ts';
import { AppError, errorText } from '../../runtime/app_error.ts';
import { StatusCode } from '../../runtime/status_code.ts';
import type { Credentials } from './credentials.ts';
import { encodeHeaderExtra, jobIdentity, userIdentity } from './impersonation.ts';
import type { Failure } from './status_response.ts';
import { type UserKey, type UserLoad, UserLoads } from './user_load.ts';

const NO_ID_HINT =
  'the client has sent an agent id that no agent has: see its kubeconfig, or whatever made its credential';

/** Which kind of access was used: the names under which usage is counted. */
export type AccessForm = 'ci_access' | 'user_access' | 'pat_access';

/** The asker may use the agent, and this is how. */
export interface Decision {
  readonly kind: 'allowed';
  readonly agentId: bigint;
  /** The serialized google.protobuf.Any that names whom to impersonate; undefined: act as the agent itself. */
  readonly extra: Uint8Array | undefined;
  /** A browser's session stands behind the request, so a browser may well show the answer. */
  readonly viaCookie: boolean;
  readonly accessForm: AccessForm;
  /** GitLab's id of the user; undefined for users of the `standalone` section. */
  readonly userId: bigint | undefined;
  /** The project in whose name the agent is used: the job's, or the one that the agent is configured in; undefined likewise. */
  readonly projectId: bigint | undefined;
  /** What the user has under way. */
  readonly load: UserLoad;
}

/** The asker may not, or nobody could say. */
export interface Refusal extends Failure {
  readonly kind: 'refused';
}

/** What is worked out once for each answer of the authorizer and agent, then used by every request. */
interface Grant {
  readonly extra: Uint8Array | undefined;
  readonly userId: bigint | undefined;
  readonly projectId: bigint | undefined;
  readonly load: UserLoad;
}

/** The request on whose behalf a question is asked. Both functions are called only if there is something to ask, or to log. */
export interface AskingRequest extends RequestContext {
  /** Fires when the client goes away or the server stops. */
  signal(): AbortSignal;
  correlationId(): string;
}

/**
 * Decides whether a request may use an agent, and as whom (docs/protocol/kubernetes_api.md, "Authorization"). Answers at
 * once when the authorizer remembers the credential.
 */
export class Gatekeeper {
  readonly #users: UserAuthorizer;
  readonly #loads = new UserLoads();
  readonly #log: Log;
  /** By the remembered answer: a grant lives exactly as long as the answer that it was made from. */
  readonly #grants = new WeakMap<AllowedAgentsForJob | ProxyUser, Map<bigint, Grant>>();

  constructor(users: UserAuthorizer, log: Log) {
    this.#users = users;
    this.#log = log;
  }

  authorize(credentials: Credentials, asking: AskingRequest): Decision | Refusal | Promise<Decision | Refusal> {
    if (credentials.kind === 'ci_job') {
      const { agentId, token } = credentials;
      const known = this.#users.peekCiJob(agentId, token);
      return known === undefined ? this.#askAboutJob(agentId, token, asking) : this.#decideJob(known, agentId, asking);
    }
    const { agentId } = credentials;
    // GitLab is not asked: it could only refuse, and upstream answers this one as a failure, not as a refusal.
    if (agentId <= 0n)
      return this.#userFailure(
        agentId,
        new AppError(StatusCode.InvalidArgument, 'the agent id must be greater than 0', { hint: NO_ID_HINT }),
        asking,
      );
    if (credentials.kind === 'personal_access_token') {
      const credential = {
        agentId,
        accessType: credentials.kind,
        accessKey: credentials.token,
        csrfToken: '',
      } as const;
      const known = this.#users.peekProxyUser(credential);
      return known === undefined
        ? this.#askAboutUser([credential], asking)
        : this.#decideUser(known, credential, asking);
    }
    const candidates = credentials.cookies.map((accessKey) => {
      return { agentId, accessType: credentials.kind, accessKey, csrfToken: credentials.csrfToken } as const;
    });
    for (const credential of candidates) {
      const known = this.#users.peekProxyUser(credential);
      if (known !== undefined) return this.#decideUser(known, credential, asking);
    }
    return this.#askAboutUser(candidates, asking);
  }

  async #askAboutJob(agentId: bigint, token: string, asking: AskingRequest): Promise<Decision | Refusal> {
    try {
      return this.#decideJob(await this.#users.ciJob(agentId, token, optionsOf(asking)), agentId, asking);
    } catch (error) {
      return this.#jobFailure(agentId, error, asking);
    }
  }

  #decideJob(answer: AllowedAgentsForJob, agentId: bigint, asking: AskingRequest): Decision | Refusal {
    let grant = this.#grants.get(answer)?.get(agentId);
    if (grant === undefined) {
      const agent = answer.allowedAgents.find(({ id }) => id === agentId);
      if (agent === undefined) {
        return this.#refuse(403, 'Forbidden: agentId is not allowed', agentId, asking);
      }
      try {
        const extra = encodeHeaderExtra(jobIdentity(answer, agent));
        const userId = answer.user?.id;
        grant = { extra, userId, projectId: answer.project?.id, load: this.#loads.of(userId) };
      } catch (error) {
        return this.#fail('Failed to construct impersonation config', agentId, error, asking);
      }
      this.#remember(answer, agentId, grant);
    }
    const { extra, userId, projectId, load } = grant;
    return { kind: 'allowed', agentId, extra, viaCookie: false, accessForm: 'ci_access', userId, projectId, load };
  }

  #jobFailure(agentId: bigint, error: unknown, asking: AskingRequest): Refusal {
    const text = errorText(error);
    switch (refusalStatus(error)) {
      case 401:
        return this.#refuse(401, 'Unauthorized: CI job token', agentId, asking, text);
      case 403:
        return this.#refuse(403, 'Forbidden: CI job token', agentId, asking, text);
      case 404:
        return this.#refuse(404, 'Not found: agents for CI job token', agentId, asking, text);
      default:
        return this.#fail('Failed to get allowed agents for CI job token', agentId, error, asking, text);
    }
  }

  /** For decisions that come another way. */
  loadOf(user: UserKey): UserLoad {
    return this.#loads.of(user);
  }

  /** Asks about one candidate after the other until one is allowed; a failure to find out ends the search. */
  async #askAboutUser(candidates: readonly UserCredential[], asking: AskingRequest): Promise<Decision | Refusal> {
    const options = optionsOf(asking);
    let refusal: Refusal | undefined;
    for (const credential of candidates) {
      try {
        return this.#decideUser(await this.#users.proxyUser(credential, options), credential, asking);
      } catch (error) {
        refusal = this.#userFailure(credential.agentId, error, asking);
        if (refusal.status !== 401) break;
      }
    }
    return refusal ?? { kind: 'refused', status: 401, message: 'Unauthorized' };
  }

  #decideUser(user: ProxyUser, { agentId, accessType }: UserCredential, asking: AskingRequest): Decision | Refusal {
    let grant = this.#grants.get(user)?.get(agentId);
    if (grant === undefined) {
      try {
        grant = userGrant(user, agentId, accessType, this.#loads);
      } catch (error) {
        return this.#fail('Failed to construct user impersonation config', agentId, error, asking);
      }
      this.#remember(user, agentId, grant);
    }
    const viaCookie = accessType === 'session_cookie';
    const accessForm = viaCookie ? 'user_access' : 'pat_access';
    const { extra, userId, projectId, load } = grant;
    return { kind: 'allowed', agentId, extra, viaCookie, accessForm, userId, projectId, load };
  }

  /** Says nothing of the reason: whoever guesses agents and tokens learns only that the pair does not fit. */
  #userFailure(agentId: bigint, error: unknown, asking: AskingRequest): Refusal {
    const text = errorText(error);
    if (refusalStatus(error) === undefined)
      return this.#fail('Failed to authorize user session', agentId, error, asking);
    if (this.#log.debugEnabled) {
      const fields = { agent_id: agentId, error: text, ...requestTrail(asking) };
      this.#log.debug('Authorize proxy user error', fields);
    }
    return { kind: 'refused', status: 401, message: 'Unauthorized' };
  }

  #remember(answer: AllowedAgentsForJob | ProxyUser, agentId: bigint, grant: Grant): void {
    const grants = this.#grants.get(answer);
    if (grants === undefined) this.#grants.set(answer, new Map([[agentId, grant]]));
    else grants.set(agentId, grant);
  }

  #refuse(status: number, what: string, agentId: bigint, asking: AskingRequest, error?: string): Refusal {
    if (this.#log.debugEnabled) {
      this.#log.debug(what, { agent_id: agentId, error, ...requestTrail(asking) });
    }
    return { kind: 'refused', status, message: error === undefined ? what : `${what}: ${error}` };
  }

  #fail(what: string, agentId: bigint, error: unknown, asking: AskingRequest, detail?: string): Refusal {
    if (!isAbort(error)) {
      const hint = error instanceof AppError && error.hint !== undefined ? error.hint : Hint.gitlab;
      this.#log.error(what, { agent_id: agentId, error: errorText(error), hint, ...requestTrail(asking) });
    }
    return { kind: 'refused', status: 500, message: detail === undefined ? what : `${what}: ${detail}` };
  }
}

/** What all log lines about a request have. */
export function requestTrail(asking: Pick<AskingRequest, 'correlationId' | 'span'>): Fields {
  return trailOf(asking.span, asking.correlationId());
}

function optionsOf(asking: AskingRequest): CallOptions {
  return { signal: asking.signal(), correlationId: asking.correlationId(), span: asking.span };
}

/** Nobody is to blame when the client has gone away, or the server is stopping, before there was an answer. */
function isAbort(error: unknown): boolean {
  if (error instanceof AppError) return error.code === StatusCode.Canceled;
  return error instanceof Error && error.name === 'AbortError';
}

/** @throws AppError if the answer makes no sense */
function userGrant(
  user: ProxyUser,
  agentId: bigint,
  accessType: UserCredential['accessType'],
  loads: UserLoads,
): Grant {
  if (user.kind === 'standalone') {
    const extra = encodeHeaderExtra(user.impersonation);
    return { extra, userId: undefined, projectId: undefined, load: loads.of(user.name) };
  }
  const { response } = user;
  // The request goes to the agent that was asked for. An answer about another one must not open it.
  if (response.agent?.id !== agentId) throw new AppError(StatusCode.Internal, 'GitLab answered about another agent');
  const extra = encodeHeaderExtra(userIdentity(response, accessType));
  const userId = response.user?.id;
  return { extra, userId, projectId: response.agent.configProject?.id, load: loads.of(userId) };
}
