/** What the fake GitLab knows. Tests change the tables while it runs. */
export interface Tables {
  /** By agent token. */
  readonly agents: Map<string, AgentRow>;
  readonly users: UserRow[];
  /** By CI job token. */
  readonly jobs: Map<string, JobRow>;
}

export interface AgentRow {
  readonly id: number;
  readonly name: string;
  readonly projectId: number;
  /** Where its configuration project is; absent parts are made up, and lead to no Gitaly. */
  readonly project?: {
    readonly path?: string;
    readonly defaultBranch?: string;
    readonly repositoryPath?: string;
    readonly gitaly?: { readonly address: string; readonly token: string };
  };
}

export interface UserRow {
  readonly id: number;
  readonly username: string;
  readonly personalAccessToken?: string;
  /** The value before it is encoded into a cookie. */
  readonly cookie?: { readonly value: string; readonly csrfToken: string };
  /** Ids of the agents that the user may use. */
  readonly agents: readonly number[];
  readonly accessAs: UserAccess;
}

export type UserAccess =
  | { readonly agent: Record<string, never> }
  | { readonly user: { readonly projects: readonly Roles[]; readonly groups: readonly Roles[] } };

interface Roles {
  readonly id: number;
  readonly roles: readonly string[];
}

export interface JobRow {
  readonly allowedAgents: readonly number[];
  /** `access_as` of the agents' configuration; absent: the member is left out, which means the agent itself. */
  readonly accessAs?: Record<string, unknown>;
  readonly environment?: { readonly slug: string; readonly tier: string };
}

/** Two agents and one person, with every kind of credential. */
export function defaultTables(): Tables {
  const agent = (id: number): [string, AgentRow] => [
    `agent-token-${id}`,
    { id, name: `agent-${id}`, projectId: 1000 + id },
  ];
  const developer = {
    user: { projects: [{ id: 5, roles: ['developer'] }], groups: [{ id: 6, roles: ['maintainer'] }] },
  };
  return {
    agents: new Map([agent(1), agent(2), agent(9)]),
    users: [
      {
        id: 22,
        username: 'alice',
        personalAccessToken: 'alice-pat',
        cookie: { value: 'alice+cookie value', csrfToken: 'alice-csrf' },
        agents: [1, 2, 9],
        accessAs: { agent: {} },
      },
      { id: 23, username: 'bob', personalAccessToken: 'bob-pat', agents: [1], accessAs: developer },
    ],
    jobs: new Map<string, JobRow>([
      ['job-agent', { allowedAgents: [1, 2, 9], accessAs: { agent: {} } }],
      ['job-plain', { allowedAgents: [1] }],
      ['job-ci', { allowedAgents: [1], accessAs: { ci_job: {} }, environment: { slug: 'prod', tier: 'production' } }],
      [
        'job-impersonate',
        {
          allowedAgents: [1],
          accessAs: {
            impersonate: { username: 'imp', groups: ['g1', 'g2'], uid: 'u1', extra: [{ key: 'a/b', val: ['x', 'y'] }] },
          },
        },
      ],
    ]),
  };
}
