import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { makeCertificate } from './certificates.ts';
import type { ApiServer } from './cluster.ts';
import { dial, freePort } from './endpoint.ts';
import { eventually } from './wait.ts';

/** Starts kubelab (test/interop/kubelab): a small cluster with the streaming code of kubelet and kube-apiserver. */
export async function startKubelab(program: string): Promise<ApiServer & { active(): Promise<number> }> {
  const folder = mkdtempSync(join(tmpdir(), 'kubelab-'));
  const { cert, key } = makeCertificate();
  writeFileSync(join(folder, 'tls.crt'), cert);
  writeFileSync(join(folder, 'tls.key'), key, { mode: 0o600 });
  const [port, control] = [await freePort(), await freePort()];
  const files = ['-ca', 'tls.crt', '-cert', 'tls.crt', '-key', 'tls.key', '-pod-dir', folder];
  const child = spawn(program, ['-listen', `127.0.0.1:${port}`, '-control', `127.0.0.1:${control}`, ...files], {
    cwd: folder,
    stdio: 'ignore',
  });
  const kill = () => child.kill('SIGKILL');
  process.once('exit', kill);
  const closed = new Promise<void>((resolve) => child.once('close', () => resolve()));
  for (const each of [port, control])
    await eventually('kubelab', () =>
      dial({ network: 'tcp', host: '127.0.0.1', port: each, path: '', ca: undefined }).then(
        (socket) => socket.destroy(),
        () => undefined,
      ),
    );
  return {
    url: `https://localhost:${port}`,
    tls: { ca: cert, clientCert: cert, clientKey: key },
    async active() {
      const response = await fetch(`http://127.0.0.1:${control}/requests?active=1`);
      return ((await response.json()) as { requests: unknown[] }).requests.length;
    },
    async close() {
      child.kill('SIGTERM');
      await closed;
      process.off('exit', kill);
      rmSync(folder, { recursive: true, force: true });
    },
  };
}
