import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { describe, test } from 'node:test';
import { type OwnUrls, ownPrivateApiUrls } from './own_private_api.ts';

type Env = Readonly<Record<string, string>>;

const addresses = ['127.0.0.1', '::1', 'fe80::1', '169.254.1.1', '10.1.2.3', '192.168.0.9', 'fd00::5'];

function urls(address: string, env: Env = {}, network: 'tcp' | 'tcp4' | 'tcp6' | 'unix' = 'tcp'): OwnUrls {
  return ownPrivateApiUrls({ network, address }, { env, addresses });
}

const rows: readonly [name: string, got: OwnUrls, expected: readonly string[]][] = [
  ['a URL, verbatim', urls(':1', { OWN_PRIVATE_API_URL: 'grpcs://x/y', OWN_PRIVATE_API_PORT: 'x' }), ['grpcs://x/y']],
  ['a name', urls('localhost:8155'), ['grpc://localhost:8155']],
  ['an IPv6 address', urls('[fd00::5]:8155'), ['grpc://[fd00::5]:8155']],
  ['a port of its own', urls('kas:8155', { OWN_PRIVATE_API_PORT: '9' }), ['grpc://kas:9']],
  ['a scheme', urls('kas:8155', { OWN_PRIVATE_API_SCHEME: 'grpcs' }), ['grpcs://kas:8155']],
  [
    'empty variables',
    urls('kas:1', { OWN_PRIVATE_API_URL: '', OWN_PRIVATE_API_CIDR: '', OWN_PRIVATE_API_PORT: '' }),
    ['grpc://kas:1'],
  ],
  ['every address', urls(':8155'), ['grpc://10.1.2.3:8155', 'grpc://192.168.0.9:8155', 'grpc://[fd00::5]:8155']],
  ['every address of [::]', urls('[::]:1'), ['grpc://10.1.2.3:1', 'grpc://192.168.0.9:1', 'grpc://[fd00::5]:1']],
  ['every IPv4 address', urls('0.0.0.0:8155'), ['grpc://10.1.2.3:8155', 'grpc://192.168.0.9:8155']],
  ['every address of tcp4', urls(':1', {}, 'tcp4'), ['grpc://10.1.2.3:1', 'grpc://192.168.0.9:1']],
  ['every address of tcp6', urls(':1', {}, 'tcp6'), ['grpc://[fd00::5]:1']],
  ['a socket', urls('/run/kas.sock', { OWN_PRIVATE_API_PORT: '9' }, 'unix'), ['unix:///run/kas.sock']],
  ['a network', urls('0.0.0.0:1', { OWN_PRIVATE_API_CIDR: '10.0.0.0/8' }), ['grpc://10.1.2.3:1']],
  [
    'networks',
    urls(':1', { OWN_PRIVATE_API_CIDR: '10.0.0.0/8, fd00::/8', OWN_PRIVATE_API_PORT: '2' }),
    ['grpc://10.1.2.3:2', 'grpc://[fd00::5]:2'],
  ],
  [
    'a network with a socket',
    urls('/s', { OWN_PRIVATE_API_CIDR: '10.0.0.0/8', OWN_PRIVATE_API_PORT: '2' }, 'unix'),
    ['grpc://10.1.2.3:2'],
  ],
  [
    'no address at all',
    ownPrivateApiUrls({ network: 'tcp', address: ':1' }, { env: {}, addresses: ['127.0.0.1'] }),
    [],
  ],
];

describe('the own URLs are', () => {
  for (const [name, got, expected] of rows) test(name, () => assert.deepEqual(got, { urls: expected }));
});

describe('the environment is refused', () => {
  const recorded: { cases: { name: string; env?: Env; stderr_text: string[] }[] } = JSON.parse(
    readFileSync(new URL('../../test/vectors/observability/startup.json', import.meta.url), 'utf8'),
  );
  for (const { name, env, stderr_text: lines } of recorded.cases) {
    if (env === undefined) continue;
    test(`as recorded: ${name}`, () => {
      const got = urls('127.0.0.1:8155', env);
      const reason = lines[0]?.replace('Program aborted: private API server: ', '');
      assert.deepEqual('wrong' in got ? got.wrong : undefined, reason);
    });
  }

  const texts: readonly [env: Env, expected: string][] = [
    [
      { OWN_PRIVATE_API_PORT: '65536' },
      'error parsing OWN_PRIVATE_API_PORT environment variable: strconv.ParseUint: parsing "65536": value out of range',
    ],
    [
      { OWN_PRIVATE_API_CIDR: '10.0.0.0/33' },
      'failed to parse OWN_PRIVATE_API_CIDR environment variable: invalid CIDR address: 10.0.0.0/33',
    ],
    [{ OWN_PRIVATE_API_CIDR: '10.0.0.0/8' }, 'cannot determine port for own URL. Specify OWN_PRIVATE_API_PORT'],
  ];
  for (const [env, expected] of texts) {
    test(expected, () => assert.deepEqual(urls('/s', env, 'unix'), { wrong: expected }));
  }
});
