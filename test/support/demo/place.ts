import { randomBytes } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { stringify } from 'yaml';
import { makeCertificate } from '../certificates.ts';
import { freePort } from '../endpoint.ts';

/** The demo's folder: everything that server, agent and user need to know. */
export interface DemoPlace {
  readonly folder: string;
  /** Where the Kubernetes API of the cluster is offered. */
  readonly url: string;
  readonly agentAddress: string;
  readonly observabilityUrl: string;
  /** PEM. */
  readonly ca: string;
  readonly agentToken: string;
  /** What the user sends as bearer token. */
  readonly userToken: string;
  /** Path of a file in the folder. */
  file(name: DemoFile): string;
  remove(): void;
}

type DemoFile =
  | 'gitlab-kas-config.yml'
  | 'kubeconfig'
  | 'ca.crt'
  | 'bearer.token'
  | 'build.log'
  | 'server.log'
  | 'agent.log';

const AGENT_ID = 1;

/** Picks free ports of 127.0.0.1 and writes the server's configuration and the user's kubeconfig. */
export async function prepareDemo(): Promise<DemoPlace> {
  const folder = mkdtempSync(join(tmpdir(), 'gitlab-kas-demo-'));
  const file = (name: string): string => join(folder, name);
  const write = (name: string, text: string): void => writeFileSync(file(name), text, { mode: 0o600 });
  const newToken = (): string => randomBytes(20).toString('hex');
  const [agentPort, kubernetesPort, observabilityPort] = [await freePort(), await freePort(), await freePort()];
  const { cert, key } = makeCertificate();
  const [agentToken, aliceToken] = [newToken(), newToken()];
  const url = `https://127.0.0.1:${kubernetesPort}`;
  const userToken = `pat:${AGENT_ID}:${aliceToken}`;
  // The certificate is its own CA.
  write('ca.crt', cert);
  write('server.key', key);
  write('agent.token', `${agentToken}\n`);
  write('alice.token', `${aliceToken}\n`);
  write('bearer.token', userToken);
  write('gitlab-kas-config.yml', stringify(configuration(agentPort, kubernetesPort, observabilityPort)));
  write('kubeconfig', stringify(kubeconfig(url, cert, userToken)));
  return {
    folder,
    url,
    agentAddress: `wss://127.0.0.1:${agentPort}`,
    observabilityUrl: `http://127.0.0.1:${observabilityPort}`,
    ca: cert,
    agentToken,
    userToken,
    file,
    remove: () => rmSync(folder, { recursive: true, force: true }),
  };
}

function configuration(agentPort: number, kubernetesPort: number, observabilityPort: number): object {
  const listen = (port: number) => ({
    address: `127.0.0.1:${port}`,
    certificate_file: 'ca.crt',
    key_file: 'server.key',
    // Nothing in front of it has to notice the end.
    listen_grace_period: '0.01s',
  });
  return {
    agent: {
      listen: { ...listen(agentPort), websocket: true },
      kubernetes_api: { listen: { ...listen(kubernetesPort), shutdown_grace_period: '1s' } },
    },
    observability: { listen: { address: `127.0.0.1:${observabilityPort}` } },
    standalone: {
      agents: [{ id: AGENT_ID, name: 'demo', token_file: 'agent.token' }],
      users: [{ name: 'alice', token_file: 'alice.token', agents: [AGENT_ID], access_as: 'agent' }],
    },
  };
}

function kubeconfig(server: string, ca: string, token: string): object {
  return {
    apiVersion: 'v1',
    kind: 'Config',
    clusters: [{ name: 'demo', cluster: { server, 'certificate-authority-data': Buffer.from(ca).toString('base64') } }],
    users: [{ name: 'alice', user: { token } }],
    contexts: [{ name: 'demo', context: { cluster: 'demo', user: 'alice' } }],
    'current-context': 'demo',
  };
}
