import { execFileSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { arch } from 'node:process';
import { fileURLToPath } from 'node:url';

/** The repository's folder, with a slash at its end. */
export const root = fileURLToPath(new URL('../../', import.meta.url));

/** What is tested: the executable, or the same source on one of the two runtimes. */
export type Flavour = 'executable' | 'node' | 'deno';

/** How to start the server under test: KAS_UNDER_TEST = executable (the default where it was built), node or deno. */
export function launchCommand(): {
  flavour: Flavour;
  command: string;
  args: readonly string[];
  /** What the runtime wants in its environment; it means nothing to the server. */
  env: Readonly<Record<string, string>>;
} {
  const flavour = flavourUnderTest();
  switch (flavour) {
    case 'executable':
      return { flavour, command: `${root}dist/gitlab-kas`, args: [], env: {} };
    case 'node': {
      const cache = process.env.NODE_COMPILE_CACHE; // scripts/lib/test_stage.ts
      const env = cache === undefined ? {} : { NODE_COMPILE_CACHE: cache };
      return { flavour, command: pinnedNode(), args: [`${root}src/main.ts`], env };
    }
    case 'deno':
      return { flavour, command: `${root}scripts/deno`, args: ['run', '-A', `${root}src/main.ts`], env: {} };
  }
}

function flavourUnderTest(): Flavour {
  const wanted = process.env.KAS_UNDER_TEST ?? '';
  if (wanted === 'executable' || wanted === 'node' || wanted === 'deno') return wanted;
  if (wanted !== '') throw new Error(`KAS_UNDER_TEST=${wanted}: executable, node or deno`);
  return existsSync(`${root}dist/gitlab-kas`) ? 'executable' : 'node';
}

/** The runtime that npm ci brings, whatever runs the tests. */
function pinnedNode(): string {
  const pinned = `${root}node_modules/node-linux-${arch}/bin/node`;
  return existsSync(pinned) ? pinned : process.execPath;
}

/** Path of a program, or undefined where the machine has none. */
export function which(program: string): string | undefined {
  try {
    return execFileSync('/bin/sh', ['-c', `command -v ${program}`], { encoding: 'utf8' }).trim();
  } catch {
    return undefined;
  }
}
