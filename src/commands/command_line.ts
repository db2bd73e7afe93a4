import { parseArgs } from 'node:util';

/** What the command line asks for. */
export type CommandLine =
  | { readonly command: 'serve'; readonly file: string }
  | { readonly command: 'check-config'; readonly file: string; readonly effective: boolean }
  | { readonly command: 'worker' }
  | { readonly command: 'version' }
  | { readonly command: 'help' }
  | { readonly command: 'wrong'; readonly message: string };

const options = {
  'configuration-file': { type: 'string' },
  effective: { type: 'boolean' },
  help: { type: 'boolean', short: 'h' },
  version: { type: 'boolean', short: 'v' },
} as const;

/**
 * Understands the arguments (without the program's name). The texts for mistakes are upstream's.
 * Help wins over version, and both over everything else that is not a mistake.
 */
export function parseCommandLine(args: readonly string[]): CommandLine {
  const parsed = parseArgs({ args: [...args], options, strict: false, allowPositionals: true, tokens: true });
  for (const token of parsed.tokens) {
    if (token.kind !== 'option') continue;
    const option = Object.hasOwn(options, token.name) ? options[token.name as keyof typeof options] : undefined;
    if (option === undefined) {
      return wrong(
        token.rawName.startsWith('--') ? `unknown flag: ${token.rawName}` : `unknown shorthand flag: ${token.rawName}`,
      );
    }
    if (option.type === 'string' && token.value === undefined) return wrong(`flag needs an argument: ${token.rawName}`);
    if (option.type === 'boolean' && token.value !== undefined)
      return wrong(`flag takes no argument: ${token.rawName}`);
  }
  const { values, positionals } = parsed;
  if (values.help) return { command: 'help' };
  if (values.version) return { command: 'version' };
  const [command, ...rest] = positionals;
  const file = values['configuration-file'];
  if (command === 'check-config') return checkConfigLine(rest, file, values.effective === true);
  // Its number is for whoever looks at the list of processes.
  if (command === 'worker') return { command };
  if (command !== undefined) return wrong(`unknown command ${JSON.stringify(command)} for "gitlab-kas"`);
  if (values.effective) return wrong('--effective belongs to check-config');
  if (typeof file !== 'string' || file === '') return wrong('required flag(s) "configuration-file" not set');
  return { command: 'serve', file };
}

/** The file may be given either way. */
function checkConfigLine(rest: readonly string[], flag: string | boolean | undefined, effective: boolean): CommandLine {
  const files = typeof flag === 'string' ? [...rest, flag] : rest;
  const [file, ...more] = files;
  if (file === undefined || file === '') return wrong('check-config needs the path of a configuration file');
  if (more.length > 0) return wrong(`check-config takes one configuration file, got ${files.length}`);
  return { command: 'check-config', file, effective };
}

function wrong(message: string): CommandLine {
  return { command: 'wrong', message };
}
