// The server with an embedded store and without GitLab, a demo cluster and a demo agent, and somebody who uses the
// cluster through them: a list of pods, a watch, an exec. Started by scripts/demo.
//   --once   ends after the show, instead of staying up
import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { appendFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import process from 'node:process';
import { parseArgs } from 'node:util';
import { startAgent } from '../test/support/agent/agent.ts';
import { kubectlClient } from '../test/support/demo/client.ts';
import { instructions } from '../test/support/demo/instructions.ts';
import { nodeClient } from '../test/support/demo/node_client.ts';
import { type DemoPlace, prepareDemo } from '../test/support/demo/place.ts';
import { startServerProcess } from '../test/support/demo/server_process.ts';
import { show } from '../test/support/demo/show.ts';
import { withoutKubectl } from '../test/support/kubectl.ts';
import { startKubernetes } from '../test/support/kubernetes/kubernetes.ts';
import { within } from '../test/support/wait.ts';
import { root } from './lib/repository.ts';

const { values } = parseArgs({ options: { once: { type: 'boolean', default: false } } });
const say = (text: string): void => console.log(text.trimEnd());
const place = await prepareDemo();
/** What was started, to be stopped in the opposite order. */
const started: (() => Promise<unknown>)[] = [];
let ending = false;

async function end(status: number, keepFolder = false): Promise<void> {
  if (ending) return;
  ending = true;
  for (const stop of started.reverse()) await stop();
  if (!keepFolder) place.remove();
  process.exit(status);
}

async function fail(error: unknown): Promise<void> {
  if (ending) return; // What fails now fails because of the end.
  console.error(`\ndemo: ${error instanceof Error ? error.message : String(error)}`);
  console.error(`demo: logs and configuration are in ${place.folder}`);
  await end(1, true);
}

/** The executable, or the source where none can be built. */
function serverCommand({ file }: DemoPlace): [program: string, ...args: string[]] {
  try {
    if (process.platform === 'linux') say('Building the executable, if the source is newer …');
    const output = execFileSync(process.execPath, ['scripts/build.ts', '--if-stale'], {
      cwd: root,
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    writeFileSync(file('build.log'), output);
    return [join(root, 'dist', 'gitlab-kas')];
  } catch (error) {
    const said = String((error as { stderr?: unknown }).stderr ?? error).trim();
    writeFileSync(file('build.log'), `${said}\n`);
    say(`No executable can be built here, the server runs from source instead (${said.split('\n').at(-1)}).`);
    return [process.execPath, join(root, 'src', 'main.ts')];
  }
}

async function run(): Promise<void> {
  const command = serverCommand(place);
  const config = place.file('gitlab-kas-config.yml');
  const server = await startServerProcess(
    [...command, '--configuration-file', config],
    place.file('server.log'),
    `${place.observabilityUrl}/readiness`,
  );
  started.push(() => server.stop());
  server.ended.then((how) => fail(new Error(`the server has ended (${how})`)));
  say(
    `Server: ${command.join(' ')}\n        agents ${place.agentAddress}, Kubernetes API ${place.url}, without GitLab`,
  );

  // It runs commands on this machine: for nobody but the agent.
  const clusterToken = randomBytes(20).toString('hex');
  const kubernetes = await startKubernetes({ token: clusterToken });
  started.push(() => kubernetes.close());
  say(`Cluster: ${kubernetes.url}, reached by the agent only`);

  const starting = startAgent({
    kasAddress: place.agentAddress,
    token: place.agentToken,
    caCert: place.ca,
    cluster: { server: kubernetes.url, authorization: () => `Bearer ${clusterToken}` },
    log: (line) => appendFileSync(place.file('agent.log'), `${new Date().toISOString()} ${line}\n`),
  });
  started.push(() => starting.then((agent) => agent.close({ unregister: true })));
  await within('the agent’s connection', 15_000, starting);
  say('Agent: connected');

  const client = withoutKubectl
    ? nodeClient(place.url, place.ca, place.userToken)
    : kubectlClient(place.file('kubeconfig'), place.folder);
  say(`\nThe cluster through the server, as ${client.name} sees it:`);
  await show(client, kubernetes, say);
  if (values.once) return end(0);
  say(`\n${instructions(place, !withoutKubectl)}`);
}

for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.once(signal, () => void end(0));
try {
  await run();
} catch (error) {
  await fail(error);
}
