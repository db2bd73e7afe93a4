import type { GitLabConfig } from '../config/config.ts';
import { clientSecureContext, type Environment } from '../net/trusted_roots.ts';
import type { LimiterObserver } from '../observability/limiter_metrics.ts';
import type { Log } from '../observability/log.ts';
import type { Clock } from '../runtime/clock.ts';
import type { Random } from '../runtime/random.ts';
import { ApiCaller } from './api_call.ts';
import type { GitLabClient } from './client.ts';
import { postAgentConfiguration } from './endpoints/agent_configuration.ts';
import { AgentEventsEndpoint } from './endpoints/agent_events.ts';
import { AgentInfoEndpoint } from './endpoints/agent_info.ts';
import { allowedAgents } from './endpoints/allowed_agents.ts';
import { authorizeProxyUser } from './endpoints/authorize_proxy_user.ts';
import { moduleRequest } from './endpoints/module_request.ts';
import { projectInfo } from './endpoints/project_info.ts';
import { reportUsage } from './endpoints/usage_metrics.ts';
import { verifyProjectAccess } from './endpoints/verify_project_access.ts';
import { Http1Transport } from './http1/transport.ts';
import { proxyFor } from './proxy_choice.ts';
import { SecretWatch } from './secret_watch.ts';
import { type HttpResponse, HttpTransport, type Transport } from './transport.ts';

interface Deps {
  readonly config: GitLabConfig;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  /** `gitlab-kas/<version>/<commit>` */
  readonly identity: string;
  /** Hears how long the rate limit has held up each attempt. */
  readonly onRateLimited?: LimiterObserver;
  /** Called with the reason when GitLab begins to refuse the secret, and with undefined when it takes it again. */
  readonly onSecretTrouble?: (trouble: string | undefined) => void;
}

/**
 * A client of the GitLab in the configuration; close it when nobody calls any more.
 *
 * @param deps.env where the names of a proxy and of trusted certificates are looked up
 * @throws AppError InvalidArgument if the CA certificate file or the proxy's URL cannot be used
 */
export function createGitLabClient(deps: Deps & { readonly env: Environment }): GitLabClient & { close(): void } {
  const { config, clock, identity, env } = deps;
  const dialing = {
    origin: config.address,
    proxy: proxyFor(config.address, env),
    secureContext: clientSecureContext(env, config.caCertificateFile),
    userAgent: identity,
    clock,
  };
  const transport = new Http1Transport(dialing);
  const rawTransport = new HttpTransport(dialing);
  const client = createGitLabClientOver(transport, deps, rawTransport);
  return {
    ...client,
    close() {
      client.close();
      transport.close();
      rawTransport.close();
    },
  };
}

/** The same over another transport. */
export function createGitLabClientOver(
  transport: Transport,
  deps: Deps,
  rawTransport: Transport = transport,
): GitLabClient & { close(): void } {
  const { clock, log, onSecretTrouble: onChange = () => {} } = deps;
  const closed = new AbortController();
  const askForNothing = () => reportUsage(api, { counters: new Map(), uniqueCounters: new Map() }, closed);
  const secret = new SecretWatch({ ask: askForNothing, clock, log, onChange });
  const onAnswer = (path: string, response: HttpResponse) => secret.heard(path, response);
  const api = new ApiCaller({ ...deps, transport, rawTransport, onAnswer });
  const agentInfo = new AgentInfoEndpoint(api);
  const agentEvents = new AgentEventsEndpoint(api);
  return {
    agentInfo: (agentToken, options) => agentInfo.get(agentToken, options),
    allowedAgents: (jobToken, options) => allowedAgents(api, jobToken, options),
    authorizeProxyUser: (question, options) => authorizeProxyUser(api, question, options),
    verifyProjectAccess: (agentToken, projectPath, options) =>
      verifyProjectAccess(api, agentToken, projectPath, options),
    projectInfo: (agentToken, projectPath, options) => projectInfo(api, agentToken, projectPath, options),
    moduleRequest: (agentToken, request, options) => moduleRequest(api, agentToken, request, options),
    postAgentConfiguration: (agentId, configuration, options) =>
      postAgentConfiguration(api, agentId, configuration, options),
    reportUsage: (usage, options) => reportUsage(api, usage, options),
    reportEvents: (events, options) => agentEvents.report(events, options),
    close() {
      secret.close();
      closed.abort(new Error('the client was closed'));
    },
  };
}
