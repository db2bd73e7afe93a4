import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, test } from 'node:test';
import { checkConfig } from './check_config.ts';
import { type CommandLine, parseCommandLine } from './command_line.ts';
import { abort, type Console } from './console.ts';
import { help } from './help.ts';
import { aboutProblems } from './problems.ts';
import { version } from './version.ts';

const folder = mkdtempSync(join(tmpdir(), 'kas-commands-'));
after(() => rmSync(folder, { recursive: true }));
const file = join(folder, 'c.yaml');

function recorder(): { console: Console; printed: { out: string; error: string } } {
  const printed = { out: '', error: '' };
  const console: Console = {
    out(text) {
      printed.out += text;
    },
    error(text) {
      printed.error += text;
    },
  };
  return { console, printed };
}

const lines: readonly [args: string, expected: CommandLine | string][] = [
  ['--configuration-file f', { command: 'serve', file: 'f' }],
  ['--configuration-file=f', { command: 'serve', file: 'f' }],
  ['--version', { command: 'version' }],
  ['-v', { command: 'version' }],
  ['-h', { command: 'help' }],
  ['--help --version', { command: 'help' }],
  ['--configuration-file f -v', { command: 'version' }],
  ['check-config f', { command: 'check-config', file: 'f', effective: false }],
  ['check-config --effective f', { command: 'check-config', file: 'f', effective: true }],
  ['check-config f --effective', { command: 'check-config', file: 'f', effective: true }],
  ['check-config --configuration-file f', { command: 'check-config', file: 'f', effective: false }],
  ['', 'required flag(s) "configuration-file" not set'],
  ['--configuration-file', 'flag needs an argument: --configuration-file'],
  ['--configuration-file=', 'required flag(s) "configuration-file" not set'],
  ['foo', 'unknown command "foo" for "gitlab-kas"'],
  ['--foo', 'unknown flag: --foo'],
  ['--toString', 'unknown flag: --toString'],
  ['-x', 'unknown shorthand flag: -x'],
  ['--version=1', 'flag takes no argument: --version'],
  ['--effective --configuration-file f', '--effective belongs to check-config'],
  ['check-config', 'check-config needs the path of a configuration file'],
  ['check-config a b', 'check-config takes one configuration file, got 2'],
];

describe('the command line', () => {
  for (const [args, expected] of lines) {
    test(args === '' ? 'nothing' : args, () => {
      const line = parseCommandLine(args.split(' ').filter((arg) => arg !== ''));
      assert.deepEqual(line, typeof expected === 'string' ? { command: 'wrong', message: expected } : expected);
    });
  }
});

describe('commands', () => {
  test('version names the release served, and the build', () => {
    const { console, printed } = recorder();
    assert.equal(version(console), 0);
    assert.match(printed.out, /^gitlab-kas version v19\.3\.0, commit: \S+, built: \d{8}\.\d{6}, build \S+\n$/);
  });

  test('help names every flag', () => {
    const { console, printed } = recorder();
    assert.equal(help(console), 0);
    for (const word of ['--configuration-file', '--effective', '--help', '--version', 'check-config']) {
      assert.ok(printed.out.includes(word), word);
    }
  });

  test('an abort is one line on standard error', () => {
    const { console, printed } = recorder();
    assert.equal(abort(console, 'why'), 1);
    assert.deepEqual(printed, { out: '', error: 'Program aborted: why\n' });
  });

  test('one problem stands beside the reason, several below', () => {
    const problem = { position: { source: 'f', line: 1, column: 2 }, path: 'a.b', message: 'no' };
    assert.equal(aboutProblems([problem]), 'configuration file: f:1:2: a.b: no');
    const two = aboutProblems([problem, { position: undefined, path: '', message: 'neither' }]);
    assert.equal(two, 'configuration file: 2 problems\nf:1:2: a.b: no\nneither');
  });

  test('check-config says OK, with warnings', async () => {
    const { console, printed } = recorder();
    writeFileSync(file, 'standalone: {}\nagnet: {}\n');
    assert.equal(await checkConfig(file, false, console), 0);
    assert.equal(printed.out, `${file}: OK\n`);
    assert.equal(printed.error, `warning: ${file}:2:1: agnet: unknown key, ignored (did you mean agent?)\n`);
  });

  test('check-config says all that is wrong', async () => {
    const { console, printed } = recorder();
    writeFileSync(file, 'standalone: {}\nserver: {agent_compression: 1, limits: 2}\n');
    assert.equal(await checkConfig(file, true, console), 1);
    assert.equal(printed.out, '');
    assert.equal(
      printed.error,
      `${file}:2:29: server.agent_compression: 1 is not a bool (true or false)\n${file}:2:40: server.limits: 2 is not a mapping\n`,
    );
  });

  test('check-config --effective prints what it can read again', async () => {
    const [first, second] = [recorder(), recorder()];
    writeFileSync(file, 'standalone: {}\nobservability: {logging: {level: debug}}\n');
    assert.equal(await checkConfig(file, true, first.console), 0);
    assert.match(first.printed.out, /^ {4}level: debug$/m);
    assert.match(first.printed.out, /^standalone: \{\}$/m);
    writeFileSync(file, first.printed.out);
    assert.equal(await checkConfig(file, true, second.console), 0);
    assert.deepEqual(second.printed, first.printed);
  });
});
