import { NodeTokens } from '../auth/node_token.ts';
import type { PrivateApiConfig } from '../config/config.ts';
import { ClientTlsContext } from '../net/client_tls_context.ts';
import { OutgoingLog } from '../net/outgoing_log.ts';
import type { WindowBudget } from '../net/windows.ts';
import type { Log } from '../observability/log.ts';
import type { Metrics } from '../observability/metrics.ts';
import { KnownNodes } from '../routing/known_nodes.ts';
import { Peers } from '../routing/peers.ts';
import type { OtherNodes } from '../routing/tunnel_search.ts';
import { identity } from '../runtime/build_info.ts';
import type { Random } from '../runtime/random.ts';
import type { Scope } from '../runtime/scope.ts';
import type { TunnelDirectory } from '../store/tunnel_directory.ts';

/** How this node finds and reaches the others. Nodes that would not know its token are none of its own. */
export function createOtherNodes(options: {
  readonly config: PrivateApiConfig;
  readonly windows: WindowBudget;
  readonly directory: TunnelDirectory;
  readonly metrics: Pick<Metrics, 'peerFailure'>;
  readonly scope: Scope;
  readonly log: Log;
  /** Of the connections; undefined: nobody is told of them. */
  readonly grpcLog: Log | undefined;
  readonly random: Random;
}): OtherNodes {
  const { config, windows, directory, metrics, scope, log, grpcLog, random } = options;
  const { listen, ownUrls, tlsServerName } = config;
  const trusted = new ClientTlsContext(
    { certificateFile: undefined, keyFile: undefined, caCertificateFile: listen.caCertificateFile },
    process.env,
  );
  const peers = new Peers({
    ownUrls,
    tokens: new NodeTokens(listen.authenticationSecret, scope.clock),
    tls: {
      serverName: tlsServerName,
      secureContext: () =>
        trusted.getOrLast((error) =>
          log.error('CA certificates of other nodes not reloaded, the old ones stay in use', error),
        ),
    },
    userAgent: identity,
    windows,
    outgoing: grpcLog && new OutgoingLog(grpcLog, scope.clock),
    onFailure: metrics.peerFailure,
    scope,
    random,
    log,
  });
  return { peers, nodes: new KnownNodes(directory, { scope, log }) };
}
