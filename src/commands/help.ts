import type { Console } from './console.ts';

const text = `GitLab agent server for Kubernetes

Usage:
  gitlab-kas --configuration-file FILE        Serve until SIGTERM or SIGINT
  gitlab-kas check-config FILE [--effective]  Say what is wrong with a configuration file, without listening

Flags:
      --configuration-file FILE   Configuration file to use (YAML)
      --effective                 With check-config: print the configuration with its defaults, secrets left out
  -h, --help                      This text
  -v, --version                   Version, commit and build time

Exit status: 0 after a clean shutdown or a good check, 1 otherwise; the reason stands on standard error.
`;

export function help(console: Console): 0 {
  console.out(text);
  return 0;
}
