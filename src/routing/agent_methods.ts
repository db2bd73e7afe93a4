/** What this server asks of agents. Nodes forward these to each other; agents may serve more (docs/protocol/routing.md). */
export const MAKE_REQUEST = '/gitlab.agent.kubernetes_api.rpc.KubernetesApi/MakeRequest';

export const AGENT_METHODS: readonly string[] = [
  MAKE_REQUEST,
  '/gitlab.agent.kubernetes_api.rpc.KubernetesApi/WatchGraph',
  '/gitlab.agent.kubernetes_api.rpc.KubernetesApi/WatchGraphWithRoots',
];
