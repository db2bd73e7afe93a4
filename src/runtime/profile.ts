import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import process from 'node:process';
import { AppError } from './app_error.ts';
import type { Clock } from './clock.ts';
import { StatusCode } from './status_code.ts';

/** Where processor time goes, or who allocates what stays in memory; both hold names of functions and numbers, no data. */
export type ProfileKind = 'cpu' | 'heap';

/** What the runtime's inspector is told, and where the result is. */
const commands = {
  cpu: { start: 'Profiler.start', stop: 'Profiler.stop', enable: 'Profiler.enable', suffix: 'cpuprofile' },
  heap: {
    start: 'HeapProfiler.startSampling',
    stop: 'HeapProfiler.stopSampling',
    enable: 'HeapProfiler.enable',
    suffix: 'heapprofile',
  },
} as const;

let running = false;

/**
 * Profiles this process for a while and writes the result to a file that Chrome's developer tools read.
 * @returns the file's path
 * @throws AppError FailedPrecondition while another profile is taken, Unimplemented on runtimes that cannot
 */
export async function takeProfile(
  kind: ProfileKind,
  options: { readonly durationMs: number; readonly folder: string; readonly clock: Clock },
): Promise<string> {
  if (process.versions.deno !== undefined) {
    throw new AppError(
      StatusCode.Unimplemented,
      'Deno cannot profile itself; start it with --inspect and use its developer tools',
    );
  }
  if (running) throw new AppError(StatusCode.FailedPrecondition, 'another profile is being taken');
  running = true;
  try {
    const { Session } = await import('node:inspector/promises');
    const session = new Session();
    session.connect();
    try {
      const { enable, start, stop, suffix } = commands[kind];
      const post: (method: string) => Promise<unknown> = (method) => session.post(method);
      await post(enable);
      await post(start);
      await new Promise<void>((resolve) => options.clock.startTimer(options.durationMs, resolve));
      const { profile } = (await post(stop)) as { profile: object };
      const name = `gitlab-kas-${process.pid}-${Math.floor(options.clock.wallMs() / 1000)}.${suffix}`;
      const file = join(options.folder, name);
      await writeFile(file, JSON.stringify(profile), { mode: 0o600, flag: 'wx' });
      return file;
    } finally {
      session.disconnect();
    }
  } finally {
    running = false;
  }
}
