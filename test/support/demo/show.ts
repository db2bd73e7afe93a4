import type { FakeKubernetes } from '../kubernetes/kubernetes.ts';
import { eventually } from '../wait.ts';
import type { DemoClient } from './client.ts';

const NEW_POD = 'newcomer';

/** Shows a pod list, a watch that gets an event, and an exec. @throws {Error} when one of them does not do what it should */
export async function show(client: DemoClient, kubernetes: FakeKubernetes, say: (text: string) => void): Promise<void> {
  say(`\n$ ${client.commands.pods}\n${mustContain(await client.pods(), /^web +1\/1 +Running/m)}`);

  say(`\n$ ${client.commands.watch}`);
  const watch = client.watch();
  try {
    const isOpen = () => kubernetes.requests.some(({ open, target }) => open && /[?&]watch=(1|true)/.test(target));
    await eventually('the watch to reach the cluster', isOpen, 30_000);
    say('  (the cluster starts another pod)');
    kubernetes.addPod(NEW_POD);
    const event = new RegExp(`^ADDED +${NEW_POD} .*\\n`, 'm');
    await eventually('the event', () => event.test(watch.output()));
    say(watch.output());
  } finally {
    await watch.end();
  }

  const command = 'echo "hello from $(basename "$PWD")"';
  say(`\n$ ${client.commands.exec('web', command)}`);
  say(mustContain(await client.exec('web', command), /^hello from web$/m));
}

function mustContain(output: string, expected: RegExp): string {
  if (!expected.test(output)) throw new Error(`this was not expected:\n${output}`);
  return output;
}
