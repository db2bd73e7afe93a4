import { readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { ask } from '../support/http_client.ts';
import type { RunningServer } from '../support/server.ts';

/** What a process that lives for long must not have more and more of. */
export interface Vitals {
  readonly seconds: number;
  readonly residentMiB: number;
  readonly heapMiB: number;
  readonly files: number;
  readonly sockets: number;
  readonly listening: number;
}

export async function vitalsOf(server: RunningServer, seconds: number): Promise<Vitals> {
  const links = filesOf(server.pid);
  const sockets = new Set(links.flatMap((link) => /^socket:\[(\d+)\]$/.exec(link)?.[1] ?? []));
  const { text } = await ask(server.endpoints.observability, { path: '/metrics' });
  const heap = Number(/^nodejs_heap_size_used_bytes\S* (\S+)/m.exec(text)?.[1]);
  return {
    seconds: Math.round(seconds),
    residentMiB: Math.round(server.residentBytes() / (1 << 20)),
    heapMiB: Math.round(heap / (1 << 20)),
    files: links.length,
    sockets: sockets.size,
    listening: listeningOf(sockets),
  };
}

function filesOf(pid: number): string[] {
  return readdirSync(`/proc/${pid}/fd`).flatMap((name) => {
    try {
      return [readlinkSync(`/proc/${pid}/fd/${name}`)];
    } catch {
      return []; // closed meanwhile
    }
  });
}

function listeningOf(sockets: ReadonlySet<string>): number {
  const table = ['/proc/net/tcp', '/proc/net/tcp6'].map((file) => readFileSync(file, 'utf8')).join('\n');
  const rows = table.split('\n').map((line) => line.trim().split(/\s+/));
  return rows.filter((columns) => columns[3] === '0A' && sockets.has(columns[9] ?? '')).length;
}
