import { readFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { errorText } from '../../../src/runtime/app_error.ts';
import { createAgent } from './agent.ts';
import { loadCluster } from './kubeconfig.ts';
import { serveProbes } from './probes.ts';

/** The test agent as a program, with agentk's flags and environment: `node test/support/agent/main.ts --kas-address … `. */
async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      'kas-address': { type: 'string' },
      'token-file': { type: 'string' },
      'ca-cert-file': { type: 'string' },
      'kas-header': { type: 'string', multiple: true },
      'kas-insecure-skip-tls-verify': { type: 'boolean' },
      'kas-tls-server-name': { type: 'string' },
      'observability-listen-network': { type: 'string', default: 'tcp' },
      'observability-listen-address': { type: 'string', default: ':8080' },
      kubeconfig: { type: 'string' },
      context: { type: 'string' },
      as: { type: 'string' },
      'as-group': { type: 'string', multiple: true },
      'as-uid': { type: 'string' },
    },
  });
  const { env } = process;
  const kasAddress = values['kas-address'];
  if (kasAddress === undefined) throw new Error('required flag(s) "kas-address" not set');
  const token = readToken(values['token-file'], env.AGENTK_TOKEN);
  delete env.AGENTK_TOKEN;
  const podNamespace = required('POD_NAMESPACE');
  const podName = required('POD_NAME');
  const caFile = values['ca-cert-file'];
  const agent = createAgent({
    kasAddress,
    token,
    podNamespace,
    podName,
    kasHeaders: values['kas-header'] ?? [],
    insecureSkipTlsVerify: values['kas-insecure-skip-tls-verify'] === true,
    ...(caFile === undefined ? {} : { caCert: readFileSync(caFile, 'utf8') }),
    ...(values['kas-tls-server-name'] === undefined ? {} : { tlsServerName: values['kas-tls-server-name'] }),
    cluster: loadCluster(
      {
        ...(values.kubeconfig === undefined ? {} : { path: values.kubeconfig }),
        ...(values.context === undefined ? {} : { context: values.context }),
        ...(values.as === undefined ? {} : { as: values.as }),
        ...(values['as-group'] === undefined ? {} : { asGroups: values['as-group'] }),
        ...(values['as-uid'] === undefined ? {} : { asUid: values['as-uid'] }),
      },
      env,
    ),
    // One line a request would cost more than the request: those only on demand.
    log: (line) => {
      if (env.TEST_AGENT_DEBUG !== undefined || !line.startsWith('Handling '))
        process.stderr.write(`${JSON.stringify({ time: new Date().toISOString(), msg: line })}\n`);
    },
  });
  const probes = await serveProbes(values['observability-listen-address'], agent);
  const stop = (): void => {
    probes.close();
    agent.close({ unregister: true }).finally(() => process.exit(0));
  };
  process.once('SIGTERM', stop);
  process.once('SIGINT', stop);
}

function readToken(file: string | undefined, fromEnvironment: string | undefined): string {
  if (file !== undefined && fromEnvironment !== undefined)
    throw new Error('both --token-file and AGENTK_TOKEN are set');
  if (file !== undefined) return readFileSync(file, 'utf8').replace(/\n$/, '');
  if (fromEnvironment !== undefined) return fromEnvironment;
  throw new Error('agent token not set: use --token-file or AGENTK_TOKEN');
}

function required(name: string): string {
  const value = process.env[name];
  if (value === undefined || value === '') throw new Error(`${name} environment variable is required but is empty`);
  return value;
}

main().catch((error: unknown) => {
  process.stderr.write(`Program aborted: ${errorText(error)}\n`);
  process.exit(1);
});
