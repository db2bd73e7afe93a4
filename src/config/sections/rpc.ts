import type { PrivateApiConfig, PrivateApiListen, RedisConfig, RpcListen } from '../config.ts';
import { checkCaFile } from '../files/certificates.ts';
import { readKeyFile } from '../files/secret_file.ts';
import { type Machine, ownPrivateApiUrls } from '../own_private_api.ts';
import type { Report } from '../problem.ts';
import { isSharedWithOtherMachines, unreachableBecause } from '../reachable_url.ts';
import type { Value } from '../schema/field.ts';
import { file } from '../schema/scalar.ts';
import { optionalSection, section } from '../schema/section.ts';
import { buildListen, checkListen, listenGracePeriod, listenKeys, maxConnectionAge } from './listen.ts';

function rpcKeys(address: string, secretDoc: string) {
  return {
    ...listenKeys(address),
    authentication_secret_file: file({ doc: secretDoc, presence: 'required' }),
    max_connection_age: maxConnectionAge,
    listen_grace_period: listenGracePeriod,
  };
}

export const apiSection = optionalSection({
  doc: 'The internal API, which GitLab Rails calls. Absent: the listener stays closed.',
  keys: {
    listen: section({
      doc: 'Where Rails connects.',
      keys: rpcKeys('127.0.0.1:8153', 'The secret shared with Rails, base64; 32 bytes or more.'),
      check: checkListen,
    }),
  },
});

export const privateApiSection = optionalSection({
  doc: 'The private API, through which nodes reach each other’s agents. Absent: the listener stays closed.',
  keys: {
    listen: section({
      doc: 'Where other nodes connect.',
      keys: {
        ...rpcKeys('127.0.0.1:8155', 'The secret that the nodes share, base64; 32 bytes or more.'),
        ca_certificate_file: file({
          doc: "CA certificates in PEM to trust besides the system's, when this node connects to others.",
        }),
      },
      check: checkListen,
    }),
  },
});

type ApiListen = NonNullable<Value<typeof apiSection>>['listen'];
type PrivateListen = NonNullable<Value<typeof privateApiSection>>['listen'];

export function buildApi({ listen }: { listen: ApiListen }, report: Report): { listen: RpcListen } {
  return { listen: buildRpcListen(listen, 'api.listen', 'API server', report) };
}

/** @param redis what this node shares with others, if it does */
export function buildPrivateApi(
  { listen }: { listen: PrivateListen },
  machine: Machine,
  redis: RedisConfig | undefined,
  report: Report,
): PrivateApiConfig {
  const path = 'private_api.listen';
  const tlsServerName = machine.env.OWN_PRIVATE_API_HOST ?? '';
  const built: PrivateApiListen = {
    ...buildRpcListen(listen, path, 'private API server', report),
    caCertificateFile: checkCaFile(listen.ca_certificate_file, { report, path: `${path}.ca_certificate_file` }),
  };
  if (built.tls !== undefined && tlsServerName === '') {
    const advice = "Set it to the kas' host name if you want to use TLS for kas->kas communication";
    report.problem(
      path,
      `private API server: new server: OWN_PRIVATE_API_HOST environment variable is not set. ${advice}`,
    );
  }
  const own = ownPrivateApiUrls(built, machine);
  if ('wrong' in own) report.problem(path, `private API server: ${own.wrong}`);
  else {
    checkSchemes(own.urls, built.tls !== undefined, path, report);
    checkOwnUrls(own.urls, machine, redis, path, report);
  }
  return { listen: built, ownUrls: 'urls' in own ? own.urls : [], tlsServerName };
}

/** A URL whose scheme does not fit the listener may still be right, where something in between begins or ends TLS. */
function checkSchemes(urls: readonly string[], tls: boolean, path: string, report: Report): void {
  for (const url of urls) {
    const doubt =
      tls && url.startsWith('grpc:')
        ? 'says grpc, and the listener speaks TLS'
        : !tls && url.startsWith('grpcs:')
          ? 'says grpcs, and the listener has no certificate'
          : undefined;
    if (doubt !== undefined)
      report.warn(path, `this node's own URL ${url} ${doubt}: check OWN_PRIVATE_API_SCHEME or OWN_PRIVATE_API_URL`);
  }
}

/** The mistake that is made most often with several nodes, and that nothing else tells of. */
function checkOwnUrls(
  urls: readonly string[],
  machine: Machine,
  redis: RedisConfig | undefined,
  path: string,
  report: Report,
): void {
  const variables = 'OWN_PRIVATE_API_URL or OWN_PRIVATE_API_CIDR';
  if (urls.length === 0) {
    if (redis === undefined) report.warn(path, 'this machine has no address at which other nodes could reach it');
    else
      report.problem(
        path,
        `private API server: could't determine own URL. Please set ${variables} environment variable`,
      );
    return;
  }
  if (redis === undefined || !isSharedWithOtherMachines(redis)) return;
  for (const url of urls) {
    const reason = unreachableBecause(url, machine);
    if (reason === undefined) continue;
    const advice = `set ${variables}, or private_api.listen.address, unless this is the only node`;
    report.warn(path, `other nodes cannot reach this one at its own URL ${url}: ${reason}; ${advice}`);
  }
}

function buildRpcListen(listen: ApiListen, path: string, server: string, report: Report): RpcListen {
  return {
    ...buildListen(listen, path, server, report),
    authenticationSecret: readKeyFile(listen.authentication_secret_file, {
      report,
      path: `${path}.authentication_secret_file`,
      what: `${server}: auth secret file`,
    }),
    maxConnectionAgeMs: listen.max_connection_age,
    listenGracePeriodMs: listen.listen_grace_period,
  };
}
