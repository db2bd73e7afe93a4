import type { IncomingHttpHeaders } from 'node:http';
import type { AgentRow, Tables } from './tables.ts';

/**
 * Which Rails is played (docs/protocol/gitlab.md): `2023` looks for the agent's token in Authorization, then in
 * Gitlab-Agentk-Api-Request, and has the old path of agent_info only; `middle` (18.2) reads Gitlab-Agentk-Api-Request,
 * then Gitlab-Agent-Api-Request, and has both paths; `today` reads the latter header only and has the new path only.
 */
export type Era = '2023' | 'middle' | 'today';

export interface Answer {
  readonly status: number;
  /** JSON; undefined: no body. */
  readonly body?: unknown;
  readonly headers?: Readonly<Record<string, string>>;
}

export interface Question {
  readonly method: string;
  readonly path: string;
  readonly query: URLSearchParams;
  readonly headers: IncomingHttpHeaders;
  readonly body: string;
}

const unauthorized: Answer = { status: 401, body: { message: '401 Unauthorized' } };
const notFound: Answer = { status: 404, body: { error: '404 Not Found' } };
const featureFlags = { 'gitlab-feature-flag': 'kas_test=true' };

/** What Rails answers, its JWT check apart. */
export function answer(era: Era, tables: Tables, q: Question): Answer {
  const path = q.path.replace(/^\/api\/v4/, '');
  switch (path) {
    case '/internal/kubernetes/agent_info':
      return era === 'today' ? notFound : agentInfo(findAgent(era, tables, q));
    case '/internal/agents/agentk/agent_info':
      return era === '2023' ? notFound : agentInfo(findAgent(era, tables, q));
    case '/internal/kubernetes/verify_project_access':
      return findAgent(era, tables, q) === undefined ? unauthorized : { status: 204 };
    case '/internal/kubernetes/project_info':
      return projectInfo(era, tables, q);
    case '/internal/kubernetes/agent_configuration':
    case '/internal/kubernetes/usage_metrics':
    case '/internal/kubernetes/agent_events':
      return { status: 204 };
    case '/job/allowed_agents':
      return allowedAgents(tables, header(q.headers['job-token']));
    case '/internal/kubernetes/authorize_proxy_user':
      return authorizeProxyUser(tables, q.body);
  }
  if (path.startsWith('/internal/kubernetes/modules/')) {
    if (findAgent(era, tables, q) === undefined) return unauthorized;
    return { status: 200, body: { echo: { method: q.method, path: q.path, query: q.query.toString(), body: q.body } } };
  }
  return notFound;
}

function findAgent(era: Era, tables: Tables, q: Question): AgentRow | undefined {
  // Outside /internal/kubernetes/ Rails' generic finder also sees the bearer, and a token that is no user's is refused.
  const guarded = q.path.startsWith('/api/v4/internal/kubernetes/');
  if (!guarded && q.headers.authorization !== undefined) return undefined;
  const token = agentToken(era, q.headers);
  return token === undefined ? undefined : tables.agents.get(token);
}

function agentToken(era: Era, headers: IncomingHttpHeaders): string | undefined {
  const agentk = header(headers['gitlab-agentk-api-request']);
  const agent = header(headers['gitlab-agent-api-request']);
  if (era === 'today') return agent;
  if (era === 'middle') return agentk ?? agent;
  return headers.authorization === undefined ? agentk : /^Bearer (.+)$/i.exec(headers.authorization)?.[1];
}

function agentInfo(agent: AgentRow | undefined): Answer {
  if (agent === undefined) return unauthorized;
  const { project } = agent;
  const gitaly = project?.gitaly ?? { address: 'tcp://127.0.0.1:1', token: 'gitaly-token' };
  return {
    status: 200,
    body: {
      project_id: agent.projectId,
      agent_id: agent.id,
      agent_name: agent.name,
      gitaly_info: { ...gitaly, features: { 'gitaly-feature-x': 'true' } },
      gitaly_repository: {
        storage_name: 'default',
        relative_path: project?.repositoryPath ?? `p/${agent.projectId}.git`,
        gl_repository: `project-${agent.projectId}`,
        gl_project_path: project?.path ?? `group/project-${agent.projectId}`,
      },
      default_branch: project?.defaultBranch ?? 'main',
      something_newer: true,
    },
  };
}

/** Agents may read their own projects here. */
function projectInfo(era: Era, tables: Tables, q: Question): Answer {
  const agent = findAgent(era, tables, q);
  if (agent === undefined) return unauthorized;
  return q.query.get('id') === agent.project?.path ? agentInfo(agent) : notFound;
}

function allowedAgents(tables: Tables, token: string | undefined): Answer {
  const job = tables.jobs.get(token ?? '');
  if (job === undefined) return unauthorized;
  const access = job.accessAs === undefined ? {} : { access_as: job.accessAs };
  return {
    status: 200,
    headers: featureFlags,
    body: {
      allowed_agents: job.allowedAgents.map((id) => ({
        id,
        config_project: { id: 1000 + id },
        configuration: { default_namespace: 'default', something_newer: {}, ...access },
      })),
      job: { id: 77 },
      pipeline: { id: 66 },
      project: { id: 55, groups: [{ id: 44 }, { id: 33 }] },
      user: { id: 22, username: 'alice', roles_in_project: ['developer'] },
      ...(job.environment && { environment: job.environment }),
    },
  };
}

function authorizeProxyUser(tables: Tables, body: string): Answer {
  const asked = JSON.parse(body) as Record<string, unknown>;
  const agentId = Number(asked.agent_id);
  const user = tables.users.find((row) =>
    asked.access_type === 'personal_access_token'
      ? row.personalAccessToken !== undefined && row.personalAccessToken === asked.access_key
      : asked.access_type === 'session_cookie' &&
        row.cookie?.value === asked.access_key &&
        row.cookie?.csrfToken === asked.csrf_token,
  );
  if (user === undefined) return { status: 401, body: { message: 'No such session' } };
  if (!user.agents.includes(agentId)) return { status: 403, body: { message: 'Not allowed' } };
  return {
    status: 200,
    headers: featureFlags,
    body: {
      agent: { id: agentId, config_project: { id: 1000 + agentId } },
      user: { id: user.id, username: user.username },
      access_as: user.accessAs,
    },
  };
}

function header(value: string | string[] | undefined): string | undefined {
  return Array.isArray(value) ? value[0] : value;
}
