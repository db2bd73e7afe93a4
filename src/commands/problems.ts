import { formatProblem, type Problem } from '../config/problem.ts';

/** The reason for an aborted start: one problem beside it, several below it, one a line. */
export function aboutProblems(problems: readonly Problem[]): string {
  const lines = problems.map(formatProblem);
  const what = 'configuration file: ';
  return lines.length === 1 ? what + lines[0] : [`${what}${lines.length} problems`, ...lines].join('\n');
}
