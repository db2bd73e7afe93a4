// Files: the server's configuration, agents' configuration, globs and references of repositories.
import assert from 'node:assert/strict';
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after } from 'node:test';
import fc from 'fast-check';
import { loadConfig } from '../../src/config/load.ts';
import { formatProblem } from '../../src/config/problem.ts';
import { parseYaml } from '../../src/config/yaml/parse.ts';
import { PktLineError } from '../../src/gitaly/pkt_line.ts';
import { ReferenceDiscovery } from '../../src/gitaly/reference_discovery.ts';
import { ConfigurationError } from '../../src/modules/agent_configuration/configuration_error.ts';
import { parseConfiguration } from '../../src/modules/agent_configuration/parse_configuration.ts';
import { Glob, GlobError } from '../../src/modules/gitops/glob.ts';
import { root } from '../support/launch.ts';
import { fuzz } from './lib/fuzz.ts';
import { bytes, cut, cuts, damaged, damages } from './lib/inputs.ts';

const folder = mkdtempSync(join(tmpdir(), 'kas-fuzz-'));
cpSync(`${root}test/fixtures/config`, folder, { recursive: true });
after(() => rmSync(folder, { recursive: true, force: true }));
const files = ['chart.yml', 'omnibus.yml'].map((name) => readFileSync(join(folder, name), 'utf8'));
const secrets = [
  'api.secret',
  'private_api.secret',
  'websocket_token.secret',
  'redis.password',
  'sentinel.password',
].map((name) => readFileSync(join(folder, name), 'utf8').trim());

const scalar = fc.oneof(
  fc.constantFrom(
    '',
    '~',
    'null',
    'true',
    '0',
    '-1',
    '1e400',
    '.inf',
    '1s',
    '-1s',
    '99999999999999999999h',
    '""',
    "''",
  ),
  fc.constantFrom('[]', '{}', '[[[[', '{a: {b: ', '*x', '&x [*x]', '!!binary x', '!!js/function y', '|', '>-', '- - -'),
  fc.constantFrom(
    'api.secret',
    '/dev/null',
    '.',
    '..',
    'redis.password',
    '/proc/self/mem',
    'a:99999',
    '[::1',
    'http://[',
  ),
  fc.string({ unit: 'binary', maxLength: 20 }),
);
const edit = fc.record({
  line: fc.double({ min: 0, max: 1, noNaN: true }),
  how: fc.constantFrom('value', 'key', 'remove', 'repeat', 'indent', 'move'),
  text: scalar,
});

/** Edits as people make them, line by line. */
function edited(text: string, edits: readonly { line: number; how: string; text: string }[]): string {
  const lines = text.split('\n');
  for (const { line, how, text: value } of edits) {
    const at = Math.min(Math.floor(line * lines.length), lines.length - 1);
    const before = lines[at] ?? '';
    if (how === 'value') lines[at] = `${before.split(':')[0]}: ${value}`;
    else if (how === 'key') lines[at] = before.replace(/[\w]+/, value);
    else if (how === 'remove') lines.splice(at, 1);
    else if (how === 'repeat') lines.splice(at, 0, before);
    else if (how === 'indent') lines[at] = ` ${before}`;
    else lines.splice(Math.floor(at / 2), 0, ...lines.splice(at, 1));
  }
  return lines.join('\n');
}

fuzz(
  'a configuration is loaded or its problems are told, and no secret with them',
  fc.tuple(fc.constantFrom(...files.keys()), fc.array(edit, { maxLength: 4 }), damages(1)),
  async ([which, edits, damage]) => {
    const text = damaged(Buffer.from(edited(files[which] ?? '', edits)), damage);
    if (text.includes('command')) return; // it would be run
    const file = join(folder, 'fuzzed.yml');
    writeFileSync(file, text);
    const loaded = await loadConfig(file);
    const told = 'problems' in loaded ? loaded.problems : [];
    if (!('config' in loaded)) assert.ok(told.length > 0, 'neither a configuration nor a problem');
    const shown = [...told, ...loaded.warnings].map(formatProblem).join('\n') + JSON.stringify(loaded, replacer);
    for (const secret of secrets) assert.ok(!shown.includes(secret), 'a secret is shown');
    for (const { message } of told) assert.ok(message.length > 0);
  },
);

function replacer(_key: string, value: unknown): unknown {
  return typeof value === 'bigint' ? String(value) : value;
}

fuzz(
  'any text is YAML or has a problem',
  fc.oneof(
    fc.string({ unit: 'binary' }),
    fc.array(scalar).map((all) => all.join('\n')),
  ),
  (text) => {
    const { tree, problems } = parseYaml(text, 'x.yml');
    if (problems.length === 0) assert.doesNotThrow(() => JSON.stringify(tree, replacer));
  },
);

const agentConfigurations = [
  'ci_access:\n  projects:\n  - id: group/project\n    default_namespace: ns\n    access_as:\n      impersonate:\n        username: u\n        extra: [{key: k, val: [v]}]\n  groups:\n  - id: group\n    environments: [prod]\n',
  'user_access:\n  access_as:\n    user: {}\n  projects:\n  - id: x\nobservability:\n  logging: {level: debug}\ngitops:\n  manifest_projects:\n  - id: a/b\n    paths: [{glob: "**/*.yaml"}]\n    reconcile_timeout: 3600s\n',
  'container_scanning:\n  schedule: "0 0 * * *"\n  vulnerability_report: {namespaces: [a]}\nremote_development: {enabled: true, dns_zone: x}\nflux: {}\n',
];

fuzz(
  'an agent’s configuration is read or refused in words',
  fc.tuple(fc.constantFrom(...agentConfigurations.keys()), fc.array(edit, { maxLength: 4 }), damages(2)),
  ([which, edits, damage]) => {
    try {
      parseConfiguration(damaged(Buffer.from(edited(agentConfigurations[which] ?? '', edits)), damage));
    } catch (error) {
      assert.ok(error instanceof ConfigurationError, String(error instanceof Error ? error.stack : error));
      assert.ok(error.message.length > 0);
    }
  },
);

const glob = fc.array(
  fc.constantFrom('*', '**', '**/', '?', '[a-z]', '[!a]', '[', ']', '{', '}', ',', '{a,b}', '\\', 'a', '/'),
  {
    maxLength: 40,
  },
);

fuzz('a glob matches or is refused, and does not take for ever', fc.tuple(glob, fc.nat(200)), ([parts, length]) => {
  const start = performance.now();
  try {
    const one = new Glob(parts.join(''));
    one.matches('a'.repeat(length));
    one.matches('a/'.repeat(length));
  } catch (error) {
    assert.ok(error instanceof GlobError, String(error));
  }
  assert.ok(performance.now() - start < 2000, 'it took too long');
});

const packet = fc.constantFrom(
  '001e# service=git-upload-pack\n',
  '0000',
  '0001',
  `003d${'a'.repeat(40)} refs/heads/main\n`,
  `004a${'b'.repeat(40)} HEAD\0symref=HEAD:refs/heads/main\n`,
  'ffff',
  'zzzz',
  '0004',
);

fuzz(
  'references are found or the reading ends, however the bytes are cut',
  fc.tuple(fc.array(packet, { maxLength: 6 }), bytes(20), damages(2), cuts),
  ([packets, rest, damage, at]) => {
    const stream = damaged(Buffer.concat([Buffer.from(packets.join('')), rest]), damage);
    const outcome = (pieces: readonly Buffer[]) => {
      const discovery = new ReferenceDiscovery('HEAD');
      try {
        for (const piece of pieces) {
          const found = discovery.push(piece);
          if (found !== undefined) return found;
        }
        return discovery.finish();
      } catch (error) {
        assert.ok(error instanceof PktLineError, String(error));
        return error.message;
      }
    };
    assert.deepEqual(outcome(cut(stream, at)), outcome([stream]));
  },
);
