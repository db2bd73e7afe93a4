import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { addressOf, type Endpoint } from './endpoint.ts';
import { buildGoProgram } from './go_program.ts';

/**
 * Many agents in one process: each has a connection of its own, registers, waits for its configuration and has two tunnels, which
 * answer every request with 4 KiB. They come back by themselves.
 */
export interface Fleet {
  /** Resolves when all are registered and have offered their tunnels. */
  readonly up: Promise<void>;
  /** What failed so far, in words; the first few. */
  readonly failures: () => string;
  stop(): Promise<void>;
}

export interface FleetOptions {
  readonly agents: number;
  /** Id of the first one; the token of each is `agent-token-<id>`. */
  readonly first: number;
  /** How many may be starting at a time. */
  readonly parallel: number;
}

let program: Promise<string> | undefined;

/** @param place where they connect, over gRPC */
export async function startFleet(place: Endpoint, { agents, first, parallel }: FleetOptions): Promise<Fleet> {
  program ??= buildGoProgram('bench/outside/agents');
  const args = { kas: addressOf(place), agents, first, parallel };
  const child = spawn(
    await program,
    Object.entries(args).flatMap(([name, value]) => [`-${name}`, String(value)]),
    { stdio: ['pipe', 'pipe', 'pipe'] },
  );
  const kill = () => child.kill('SIGKILL');
  process.once('exit', kill);
  let failures = '';
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    failures += text;
  });
  const up = new Promise<void>((resolve, reject) => {
    createInterface({ input: child.stdout }).on('line', (line) => {
      if ((JSON.parse(line) as { event: string }).event === 'up') resolve();
    });
    child.once('exit', () => reject(new Error(`the agents have ended\n${failures}`)));
  });
  up.catch(() => {});
  return {
    up,
    failures: () => failures,
    async stop() {
      process.off('exit', kill);
      if (child.exitCode !== null) return;
      const ended = once(child, 'exit');
      child.stdin.end();
      await ended;
    },
  };
}
