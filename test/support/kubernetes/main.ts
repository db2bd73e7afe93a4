import { readFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { errorText } from '../../../src/runtime/app_error.ts';
import { startKubernetes } from './kubernetes.ts';

/**
 * The fake Kubernetes API as a program:
 * `node test/support/kubernetes/main.ts --listen 127.0.0.1:6443 [--cert F --key F [--client-ca F]] [--token-file F]`.
 * Each line on standard input goes into the pods' logs.
 */
async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      listen: { type: 'string', default: '127.0.0.1:0' },
      cert: { type: 'string' },
      key: { type: 'string' },
      'client-ca': { type: 'string' },
      'token-file': { type: 'string' },
    },
  });
  const read = (path: string | undefined) => (path === undefined ? undefined : readFileSync(path, 'utf8'));
  const listen = /^(.*):(\d+)$/.exec(values.listen);
  if (listen === null) throw new Error(`invalid --listen: ${values.listen}`);
  const cert = read(values.cert);
  const key = read(values.key);
  const clientCa = read(values['client-ca']);
  const token = read(values['token-file'])?.trim();
  const kubernetes = await startKubernetes({
    host: listen[1]!,
    port: Number(listen[2]),
    ...(cert !== undefined && key !== undefined ? { tls: { cert, key } } : {}),
    ...(clientCa === undefined ? {} : { clientCa }),
    ...(token === undefined ? {} : { token }),
  });
  process.stdout.write(`${kubernetes.url}\n`);
  process.stdin.setEncoding('utf8').on('data', (text: string) => {
    for (const line of text.split('\n')) if (line !== '') kubernetes.say(line);
  });
  const stop = (): void => {
    kubernetes.close().finally(() => process.exit(0));
  };
  process.once('SIGTERM', stop);
  process.once('SIGINT', stop);
}

main().catch((error: unknown) => {
  process.stderr.write(`${errorText(error)}\n`);
  process.exit(1);
});
