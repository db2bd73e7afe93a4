import { type Kubectl, kubectlWith } from '../kubectl.ts';

/** Somebody who uses the demo cluster through the server. Each answer is what a terminal would show. */
export interface DemoClient {
  readonly name: string;
  /** How one would do it by hand. */
  readonly commands: { readonly pods: string; readonly watch: string; exec(pod: string, command: string): string };
  pods(): Promise<string>;
  /** Shows what happens to pods from now on. */
  watch(): DemoWatch;
  exec(pod: string, command: string): Promise<string>;
}

export interface DemoWatch {
  output(): string;
  end(): Promise<void>;
}

const WATCH = ['get', 'pods', '--watch-only', '--output-watch-events'];

/** The machine's kubectl. */
export function kubectlClient(kubeconfig: string, home: string): DemoClient {
  const kubectl = kubectlWith(kubeconfig, home);
  return {
    name: 'kubectl',
    commands: {
      pods: 'kubectl get pods',
      watch: `kubectl ${WATCH.join(' ')}`,
      exec: (pod, command) => `kubectl exec ${pod} -- sh -c '${command}'`,
    },
    pods: () => succeed(kubectl, ['get', 'pods']),
    watch: () => kubectl.start(WATCH),
    exec: (pod, command) => succeed(kubectl, ['exec', pod, '--', 'sh', '-c', command]),
  };
}

async function succeed(kubectl: Kubectl, args: readonly string[]): Promise<string> {
  const { status, stdout, stderr } = await kubectl.run(args);
  if (status !== 0) throw new Error(`kubectl ${args.join(' ')}: exit status ${status}: ${stderr.trim()}`);
  return stdout;
}
