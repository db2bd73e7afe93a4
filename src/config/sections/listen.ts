import type { Listen, Network } from '../config.ts';
import { readKeyPair } from '../files/certificates.ts';
import { childPath, type Report } from '../problem.ts';
import { addressProblem } from '../schema/address.ts';
import { duration, oneOf } from '../schema/number.ts';
import { absolutePath, file, text } from '../schema/scalar.ts';

/** The keys that every listener has. */
export function listenKeys(address: string) {
  return {
    network: oneOf({
      doc: 'What to listen on; `tcp` is both IP versions, `unix` a socket in the file system.',
      names: ['tcp', 'tcp4', 'tcp6', 'unix'],
      default: 'tcp',
    }),
    address: text({
      doc: 'host:port, where an empty host is every address and port 0 a free port; with `network: unix` the path of the socket.',
      default: address,
    }),
    certificate_file: file({ doc: 'Certificate chain in PEM: the listener speaks TLS. Both or none of the pair.' }),
    key_file: file({ doc: 'Private key in PEM that belongs to `certificate_file`.' }),
  };
}

/** How long a listener stays open when the process is told to stop. */
export const listenGracePeriod = duration({
  doc: 'On shutdown: time between saying no to readiness probes and closing the listener, for load balancers to notice.',
  default: '5s',
});

export const maxConnectionAge = duration({
  doc: 'A connection is asked to end after about this time, so that load spreads over nodes.',
  default: '7200s',
});

interface ListenSection {
  readonly network: Network;
  readonly address: string;
  readonly certificate_file: string | undefined;
  readonly key_file: string | undefined;
}

/** The rule of every `listen` section: the address fits the network. */
export function checkListen(listen: ListenSection, path: string, report: Report): void {
  if (report.failed(childPath(path, 'network')) || report.failed(childPath(path, 'address'))) return;
  // Also the default: a socket has none. Nobody wants one with such a name.
  const wrong =
    listen.network === 'unix' && /^[^/]*:\d+$/.test(listen.address)
      ? 'is host:port, and network: unix needs the path of a socket'
      : addressProblem(listen.network, listenAddress(listen, report));
  if (wrong !== undefined) report.problem(childPath(path, 'address'), `${JSON.stringify(listen.address)} ${wrong}`);
}

/** @param server how error texts about the certificate begin: `agent server` */
export function buildListen(listen: ListenSection, path: string, server: string, report: Report): Listen {
  return {
    network: listen.network,
    address: listenAddress(listen, report),
    tls: readKeyPair(listen, { report, path, server }),
  };
}

function listenAddress({ network, address }: ListenSection, report: Report): string {
  return network === 'unix' ? absolutePath(address, report.folder) : address;
}
