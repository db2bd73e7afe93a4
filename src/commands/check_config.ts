import { stringify } from 'yaml';
import { loadConfig } from '../config/load.ts';
import { formatProblem } from '../config/problem.ts';
import type { Console } from './console.ts';

/**
 * Does what a start does, short of listening and connecting: reads, validates, opens secrets and certificates.
 * @param effective print the resulting configuration, with defaults, instead of `FILE: OK`
 */
export async function checkConfig(file: string, effective: boolean, console: Console): Promise<0 | 1> {
  const loaded = await loadConfig(file);
  for (const warning of loaded.warnings) console.error(`warning: ${formatProblem(warning)}\n`);
  if ('problems' in loaded) {
    for (const problem of loaded.problems) console.error(`${formatProblem(problem)}\n`);
    return 1;
  }
  console.out(effective ? stringify(loaded.effective, { version: '1.1', lineWidth: 0 }) : `${file}: OK\n`);
  return 0;
}
