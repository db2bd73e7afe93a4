import { buildInfo } from '../runtime/build_info.ts';
import type { Console } from './console.ts';

/** Peers and the Linux package read the first words: the GitLab release comes first, our own build number last. */
export function version(console: Console): 0 {
  const { version: release, commit, builtAt, build } = buildInfo;
  console.out(`gitlab-kas version ${release}, commit: ${commit}, built: ${builtAt}, build ${build}\n`);
  return 0;
}
