import type { ClientTls, RedisConfig } from '../config.ts';
import { checkCaFile, readKeyPair } from '../files/certificates.ts';
import { readPasswordFile } from '../files/secret_file.ts';
import { childPath, type Report } from '../problem.ts';
import { addressProblem } from '../schema/address.ts';
import { ignored, quoted, type Value } from '../schema/field.ts';
import { duration, naturalInt32, oneOf, uint32 } from '../schema/number.ts';
import { absolutePath, file, flag, requiredText, secretText, text } from '../schema/scalar.ts';
import { list, optionalSection } from '../schema/section.ts';
import { Secret } from '../secret.ts';

function tlsSection(doc: string) {
  return optionalSection({
    doc,
    keys: {
      enabled: flag({ doc: 'Without it the other keys of this section count for nothing.' }),
      certificate_file: file({ doc: 'Client certificate in PEM. Both or none of the pair.' }),
      key_file: file({ doc: 'Private key in PEM that belongs to it.' }),
      ca_certificate_file: file({ doc: "CA certificates in PEM to trust besides the system's." }),
    },
  });
}

export const redisSection = optionalSection({
  doc: 'What nodes share. Absent: it is kept in this process, and there can be one node only.',
  keys: {
    server: optionalSection({
      doc: 'One server. Exactly one of `server` and `sentinel`.',
      keys: { address: requiredText({ doc: 'host:port; with `network: unix` the path of the socket.' }) },
    }),
    sentinel: optionalSection({
      doc: 'Servers that sentinels know of. Exactly one of `server` and `sentinel`.',
      keys: {
        master_name: requiredText({ doc: 'Name that the sentinels have for the main server.' }),
        addresses: list({
          doc: 'host:port of the sentinels.',
          item: requiredText({ doc: '', rule: (address) => addressProblem('tcp', address) }),
          nonEmpty: true,
        }),
        sentinel_password_file: file({
          doc: 'Password for the sentinels, byte for byte: a newline at the end is part of it.',
        }),
        tls: tlsSection('TLS to the sentinels. TLS to the servers is `redis.tls`.'),
      },
    }),
    pool_size: ignored(uint32({ doc: 'Has long been ignored.', default: 0 })),
    dial_timeout: duration({ doc: 'Time to connect in.', default: '5s' }),
    read_timeout: ignored(duration({ doc: 'Has long been ignored.', default: '0s' })),
    write_timeout: duration({ doc: 'Time to send a command and get an answer in.', default: '3s' }),
    idle_timeout: ignored(duration({ doc: 'Has long been ignored.', default: '0s' })),
    key_prefix: text({ doc: 'What the names of all keys begin with.', default: 'gitlab-kas' }),
    username: text({ doc: 'Name to log in with.' }),
    password: secretText({
      doc: 'The password itself, wins over `password_file`. For `config.command`: files get read.',
    }),
    password_file: file({ doc: 'The password, byte for byte: a newline at the end is part of it.' }),
    network: oneOf({
      doc: 'How to reach `server`.',
      names: ['tcp', 'unix'],
      default: 'tcp',
      emptyIsDefault: true,
    }),
    tls: tlsSection('TLS to the servers.'),
    database_index: naturalInt32({ doc: 'Number of the database.', default: 0 }),
  },
  check({ server, sentinel, network }, path, report) {
    const serverPath = childPath(path, 'server');
    if (server !== undefined && sentinel !== undefined) {
      report.problem(childPath(path, 'sentinel'), 'there is a server already: only one of server and sentinel');
    } else if (server === undefined && sentinel === undefined) {
      if (!report.failed(serverPath)) report.problem(path, 'one of server and sentinel is required');
    }
    const addressPath = childPath(serverPath, 'address');
    if (server === undefined || report.failed(addressPath) || report.failed(childPath(path, 'network'))) return;
    const address = network === 'unix' ? absolutePath(server.address, report.folder) : server.address;
    const wrong = addressProblem(network, address);
    if (wrong !== undefined) report.problem(addressPath, `${quoted(server.address)} ${wrong}`);
  },
});

type Section = NonNullable<Value<typeof redisSection>>;

export function buildRedis(section: Section, report: Report): RedisConfig {
  const { server, sentinel, network } = section;
  const password = readPasswordFile(section.password_file, {
    report,
    path: 'redis.password_file',
    what: 'password file',
  });
  const serverAddress = server?.address ?? '';
  return {
    network,
    endpoint:
      sentinel === undefined
        ? { address: network === 'unix' ? absolutePath(serverAddress, report.folder) : serverAddress }
        : {
            masterName: sentinel.master_name,
            addresses: sentinel.addresses,
            password: readPasswordFile(sentinel.sentinel_password_file, {
              report,
              path: 'redis.sentinel.sentinel_password_file',
              what: 'sentinel password file',
            }),
            tls: buildTls(sentinel.tls, 'redis.sentinel.tls', report),
          },
    dialTimeoutMs: section.dial_timeout,
    writeTimeoutMs: section.write_timeout,
    keyPrefix: section.key_prefix,
    username: section.username,
    password: section.password ? new Secret(Buffer.from(section.password)) : password,
    tls: buildTls(section.tls, 'redis.tls', report),
    databaseIndex: section.database_index,
  };
}

function buildTls(tls: Section['tls'], path: string, report: Report): ClientTls | undefined {
  if (!tls?.enabled) return undefined;
  const pair = readKeyPair(tls, { report, path, server: undefined });
  const caPath = childPath(path, 'ca_certificate_file');
  return {
    certificateFile: pair?.certificateFile,
    keyFile: pair?.keyFile,
    caCertificateFile: checkCaFile(tls.ca_certificate_file, { report, path: caPath }),
  };
}
