import assert from 'node:assert/strict';
import { test } from 'node:test';
import { toJson } from '@bufbuild/protobuf';
import { ConfigurationFileSchema } from '../../gen/gitlab/agent/agentcfg/agentcfg_pb.ts';
import { ConfigurationError } from './configuration_error.ts';
import { parseConfiguration } from './parse_configuration.ts';

function parse(text: string) {
  const configuration = parseConfiguration(Buffer.from(text));
  return { ...configuration, known: toJson(ConfigurationFileSchema, configuration.file, { useProtoFieldName: true }) };
}

function failure(text: string): [string, number | undefined] {
  try {
    parse(text);
  } catch (error) {
    assert.ok(error instanceof ConfigurationError, String(error));
    return [error.message, error.line];
  }
  return assert.fail(`accepted: ${text}`);
}

const FULL = `
gitops:
  manifest_projects:
  - id: group/manifests
    default_namespace: ns
    paths: [{glob: '/m/**/*.yaml'}]
    reconcile_timeout: 3600s
    dry_run_strategy: none
    prune: true
    prune_propagation_policy: foreground
    inventory_policy: must_match
    ref: {tag: v1}
observability:
  logging: {level: debug, grpc_level: warn}
ci_access:
  projects:
  - id: group/app
    access_as: {impersonate: {username: bob, groups: [g], uid: u, extra: [{key: k, val: [v1, v2]}]}}
    environments: [prod, "review/*"]
  groups:
  - id: group
    access_as: {ci_job: {}}
user_access:
  access_as: {user: {}}
  projects: [{id: group/app}]
container_scanning:
  cadence: '0 0 * * *'
remote_development: {enabled: yes, dns_zone: d, full_sync_interval: 1.5s}
flux: {webhook_receiver_url: http://receiver.example}
`;

test('everything the schema knows, for the agent and for GitLab', () => {
  const { known, forGitLab, unknownKeys } = parse(FULL);
  assert.deepEqual(unknownKeys, []);
  assert.deepEqual(known, {
    ...forGitLab,
    remote_development: { enabled: true, dns_zone: 'd', full_sync_interval: '1.500s' },
  });
  assert.deepEqual(forGitLab.remote_development, { enabled: true, dns_zone: 'd', full_sync_interval: '1.5s' });
});

test('files that say nothing', () => {
  for (const text of [
    '',
    '# only a comment\n',
    '---\n',
    'null\n',
    '{}',
    '~',
    'ci_access:\n',
    '--- {}\n---\nci_access: 5\n',
  ]) {
    const { known, forGitLab, unknownKeys } = parse(text);
    assert.deepEqual([known, forGitLab, unknownKeys], [{}, {}, []], JSON.stringify(text));
  }
});

test('keys that only newer releases know are named and go to GitLab', () => {
  const { known, forGitLab, unknownKeys } = parse(
    [
      'gitops: {charts: [{release_name: x}]}',
      'ci_access:',
      '  instance: {}',
      '  projects:',
      '  - id: a',
      '    protected_branches_only: true',
      'workspaces: [1, 2.5, null]',
    ].join('\n'),
  );
  assert.deepEqual(known, { gitops: {}, ci_access: { projects: [{ id: 'a' }] } });
  assert.deepEqual(forGitLab, {
    gitops: { charts: [{ release_name: 'x' }] },
    ci_access: { instance: {}, projects: [{ id: 'a', protected_branches_only: true }] },
    workspaces: [1, 2.5, null],
  });
  assert.deepEqual(unknownKeys, [
    { path: 'gitops.charts', line: 1 },
    { path: 'ci_access.instance', line: 3 },
    { path: 'ci_access.projects[0].protected_branches_only', line: 6 },
    { path: 'workspaces', line: 7 },
  ]);
});

test('YAML 1.1: switches, aliases, merge keys, keys that come twice, other spellings', () => {
  assert.deepEqual(parse('remote_development: {enabled: on}').known, { remote_development: { enabled: true } });
  assert.deepEqual(parse('flux: {webhook_receiver_url: a, webhook_receiver_url: b}').known, {
    flux: { webhook_receiver_url: 'b' },
  });
  assert.deepEqual(parse('ciAccess: {projects: [&a {id: x}, *a, {<<: *a, defaultNamespace: ns}]}').forGitLab, {
    ci_access: { projects: [{ id: 'x' }, { id: 'x' }, { id: 'x', default_namespace: 'ns' }] },
  });
  assert.deepEqual(parse('observability: {logging: {level: 1}}').known, {
    observability: { logging: { level: 'debug' } },
  });
});

test('more than 500 entries are told of and kept', () => {
  const entries = (n: number) => `[${Array.from({ length: n }, (_, i) => `{id: p${i}}`).join(',')}]`;
  const { file, tooLong } = parse(
    `ci_access: {projects: ${entries(501)}, groups: ${entries(500)}}\nuser_access: {groups: ${entries(600)}}`,
  );
  assert.deepEqual(tooLong, ['ci_access.projects', 'user_access.groups']);
  assert.equal(file.ciAccess?.projects.length, 501);
});

test('what is no YAML says where', () => {
  // What sigs.k8s.io/yaml 1.3.0 says; and the line in which a reader will find it.
  const cases: [string, string, number][] = [
    ['gitops: [unclosed\n', "line 1: did not find expected ',' or ']'", 2],
    ['a: 1\nb: {c: 1\n', "line 2: did not find expected ',' or '}'", 3],
    ['a: [1,\n', 'line 1: did not find expected node content', 2],
    ['a: [1,,2]\n', 'did not find expected node content', 1],
    ['a: [1]]\n', 'did not find expected key', 1],
    ['a: "x" y\n', 'did not find expected key', 1],
    ['a:\n  b: 1\n c: 2\n', 'line 2: did not find expected key', 3],
    ['a:\n  b: 1\n  - c\n', 'line 2: did not find expected key', 3],
    ['- a\nb: c\n', "line 1: did not find expected '-' indicator", 2],
    ['a:\n b:\n  - id: a\n  c: []\n', "line 3: did not find expected '-' indicator", 4],
    ['a:\n\tb: 1\n', 'line 2: found character that cannot start any token', 2],
    ['a: 1\n\tb: 1\n', 'line 2: found a tab character that violates indentation', 2],
    ['a: b: c\n', 'mapping values are not allowed in this context', 1],
    ['x: 1\na: b\n c: d\n', 'line 3: mapping values are not allowed in this context', 3],
    ['foo\nbar: 1', 'line 2: mapping values are not allowed in this context', 2],
    ['a: 1\nb:2\nc: 3\n', "line 3: could not find expected ':'", 3],
    ['a: 1\nb\n', "line 3: could not find expected ':'", 3],
    ['a: - b\n', 'block sequence entries are not allowed in this context', 1],
    ['x: 1\na: @b\n', 'line 2: found character that cannot start any token', 2],
    ['paths:\n- glob: **/*.yaml\n', 'line 2: did not find expected alphabetic or numeric character', 2],
    ['a: 1\nb: *x\n', "unknown anchor 'x' referenced", 2],
    ['a: &a [*a]\n', "anchor 'a' value contains itself", 1],
    ['a: {<<: 1}\n', 'map merge requires map or sequence of maps as the value', 1],
    ['a: "\\q"\n', 'found unknown escape character', 1],
    ['a: "\\x4"\n', 'did not find expected hexdecimal number', 1],
    ['a: 1\nb: "c\n', 'line 3: found unexpected end of stream', 3],
    ['a: 1\nb: "\x01"\n', 'control characters are not allowed', 2],
  ];
  for (const [text, problem, line] of cases) {
    const message = `failed to parse agent configuration: YAMLToJSON: yaml: ${problem}`;
    assert.deepEqual(failure(text), [message, line], JSON.stringify(text));
  }
});

test('files of all editors', () => {
  const text = 'ci_access:\n  projects:\n  - id: a/ü\n';
  const expected = { ci_access: { projects: [{ id: 'a/ü' }] } };
  const utf16 = Buffer.from(`\ufeff${text}`, 'utf16le');
  const files = [
    Buffer.from(`\ufeff${text}`),
    utf16,
    Buffer.from(utf16).swap16(),
    ...['\r\n', '\r', '\u0085'].map((end) => Buffer.from(text.replaceAll('\n', end))),
  ];
  for (const file of files) assert.deepEqual(parseConfiguration(file).forGitLab, expected, file.toString('hex'));
  assert.throws(() => parseConfiguration(Buffer.from('a: 1\nb: "\xfc"\n', 'latin1')), {
    message: 'failed to parse agent configuration: YAMLToJSON: yaml: invalid leading UTF-8 octet',
    line: 2,
  });
});

test('between brackets lines begin where they like', () => {
  const expected = { ci_access: { projects: [{ id: 'a' }, { id: 'b' }] } };
  for (const text of [
    'ci_access:\n  projects: [\n  {id: a},\n  {id: b}\n  ]\n',
    'ci_access: {projects: [\n{id: a}, {id: b}\n]}\n',
    'ci_access: {\nprojects: [\n{\nid: a\n}, {id:\nb}\n]\n}\n',
    'ci_access:\n  projects: [\t{id: a},\n\t{id: b}]\n',
  ]) {
    assert.deepEqual(parse(text).forGitLab, expected, text);
  }
  const unclosed = `a: [\n${'x,\n'.repeat(40_000)}`;
  assert.match(failure(unclosed)[0], /yaml: line 1: did not find expected node content$/);
});

test('a YAML bomb, one huge text named often, and endless nesting are refused soon', () => {
  const levels = [...'bcdefghi'].map((name, i) => `${name}: &${name} [${`*${'abcdefgh'[i]},`.repeat(9)}]`);
  const aliasing = 'failed to parse agent configuration: YAMLToJSON: yaml: document contains excessive aliasing';
  assert.equal(failure(['a: &a [lol]', ...levels].join('\n'))[0], aliasing);
  assert.equal(failure(`a: &a ${'x'.repeat(100_000)}\nb: [${'*a,'.repeat(9000)}]`)[0], aliasing);
  for (const deep of ['['.repeat(100_000), 'a: &a [*a]', '{a: '.repeat(10_000)]) {
    assert.match(failure(deep)[0], /^failed to parse agent configuration: YAMLToJSON: yaml: /);
  }
});

test('values of the wrong type', () => {
  const cases: [string, string, number][] = [
    ['ci_access:\n  projects:\n  - id: 123\n', '(line 1:33): invalid value for string type: 123', 3],
    ['z: 1\nremote_development: {enabled: "yes"}', '(line 1:34): invalid value for bool type: "yes"', 2],
    ['observability: {logging: {level: loud}}', '(line 1:38): invalid value for enum type: "loud"', 1],
    ['ci_access: 5', 'syntax error (line 1:14): unexpected token 5', 1],
    ['ci_access:\n  projects: {}', 'syntax error (line 1:26): unexpected token {', 2],
    ['ci_access: {projects: [null]}', 'syntax error (line 1:27): unexpected token null', 1],
    ['- a', 'syntax error (line 1:1): unexpected token [', 1],
    ['remote_development: {full_sync_interval: 5m}', '(line 1:45): invalid google.protobuf.Duration value "5m"', 1],
    [
      'user_access: {access_as: {agent: {}, user: {}}}',
      '(line 1:29): error parsing "user", oneof gitlab.agent.agentcfg.UserAccessAsCF.as is already set',
      1,
    ],
  ];
  for (const [text, problem, line] of cases) {
    const message = `failed to parse agent configuration: protojson.Unmarshal: proto: ${problem}`;
    assert.deepEqual(failure(text), [message, line], text);
  }
});

test('values that are not allowed', () => {
  const empty = 'value length must be at least 1 bytes';
  const required = 'value is required';
  const inList = (list: string) => `value must be in list [ ${list}]`;
  const manifest = (yaml: string, problem: string): [string, string[]] => [
    `gitops: {manifest_projects: [{${yaml}}]}`,
    ['ConfigurationFile.Gitops', 'GitopsCF.ManifestProjects[0]', ...problem.split(' > ')],
  ];
  const ci = (yaml: string, ...path: string[]): [string, string[]] => [
    `ci_access: {projects: [{id: a}, ${yaml}]}`,
    ['ConfigurationFile.CiAccess', 'CiAccessCF.Projects[1]', ...path],
  ];
  const impersonate = (yaml: string, ...path: string[]) =>
    ci(`{id: b, access_as: {impersonate: ${yaml}}}`, 'CiAccessProjectCF.AccessAs', 'CiAccessAsCF.Impersonate', ...path);
  const cases: [string, string[]][] = [
    manifest('id: ""', `ManifestProjectCF.Id: ${empty}`),
    manifest('paths: [{}]', `ManifestProjectCF.Paths[0] > PathCF.Glob: ${empty}`),
    manifest('dry_run_strategy: x', `ManifestProjectCF.DryRunStrategy: ${inList('none client server')}`),
    manifest(
      'prune_propagation_policy: x',
      `ManifestProjectCF.PrunePropagationPolicy: ${inList('orphan background foreground')}`,
    ),
    manifest(
      'inventory_policy: x',
      `ManifestProjectCF.InventoryPolicy: ${inList('must_match adopt_if_no_inventory adopt_all')}`,
    ),
    manifest('ref: {}', `ManifestProjectCF.Ref > GitRefCF.Ref: ${required}`),
    manifest('ref: {branch: ""}', `ManifestProjectCF.Ref > GitRefCF.Branch: ${empty}`),
    ci('{}', `CiAccessProjectCF.Id: ${empty}`),
    ci('{id: b, environments: [a, ""]}', `CiAccessProjectCF.Environments[1]: ${empty}`),
    ci('{id: b, access_as: {}}', 'CiAccessProjectCF.AccessAs', `CiAccessAsCF.As: ${required}`),
    impersonate('{}', `CiAccessAsImpersonateCF.Username: ${empty}`),
    impersonate('{username: a, groups: [""]}', `CiAccessAsImpersonateCF.Groups[0]: ${empty}`),
    impersonate(
      '{username: a, extra: [{val: [v]}]}',
      'CiAccessAsImpersonateCF.Extra[0]',
      `ExtraKeyValCF.Key: ${empty}`,
    ),
    impersonate(
      '{username: a, extra: [{key: k}]}',
      'CiAccessAsImpersonateCF.Extra[0]',
      'ExtraKeyValCF.Val: value must contain at least 1 item(s)',
    ),
    [
      'user_access: {groups: [{}]}',
      ['ConfigurationFile.UserAccess', 'UserAccessCF.Groups[0]', `UserAccessGroupCF.Id: ${empty}`],
    ],
    [
      'user_access: {access_as: {}}',
      ['ConfigurationFile.UserAccess', 'UserAccessCF.AccessAs', `UserAccessAsCF.As: ${required}`],
    ],
    ['container_scanning: {}', ['ConfigurationFile.ContainerScanning', `ContainerScanningCF.Cadence: ${empty}`]],
    [
      'remote_development: {partial_sync_interval: 0s}',
      ['ConfigurationFile.RemoteDevelopment', 'RemoteDevelopmentCF.PartialSyncInterval: value must be greater than 0s'],
    ],
  ];
  for (const [text, path] of cases) {
    const violation = path.map((part) => `invalid ${part}`).join(': embedded message failed validation | caused by: ');
    assert.deepEqual(failure(text), [`invalid agent configuration: ${violation}`, 1], text);
  }
  assert.deepEqual(failure('ci_access:\n  projects:\n  - id: a\n  - default_namespace: x\n')[1], 4);
  assert.match(failure('ci_access: {projects: [{}, {}]}')[0], /Projects\[0\].*; invalid CiAccessCF\.Projects\[1\]/);
});
