import type { Registry } from 'prom-client';
import { type StatusCode, statusCodeName } from '../runtime/status_code.ts';
import { counterFamily, type Distribution, gaugeFamily, HistogramFamily, type Sample } from './hot_metrics.ts';
import { methodFields } from './method_fields.ts';

/** As go-grpc-prometheus has it. */
export type GrpcType = 'unary' | 'client_stream' | 'server_stream' | 'bidi_stream';

/** In seconds; go-grpc-prometheus has these. */
const HANDLING_BUCKETS = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10];

/** The samples of one method, looked up once. */
export class MethodMetrics {
  readonly received: Sample;
  readonly sent: Sample;
  readonly #started: Sample;
  readonly #inFlight: Sample;
  /** Of a server's methods only. */
  readonly #handling: Distribution | undefined;
  readonly #handled: (code: StatusCode) => Sample;
  /** By code; most methods see few of them. */
  readonly #byCode: (Sample | undefined)[] = [];

  constructor(samples: {
    readonly started: Sample;
    readonly received: Sample;
    readonly sent: Sample;
    readonly inFlight: Sample;
    readonly handling: Distribution | undefined;
    readonly handled: (code: StatusCode) => Sample;
  }) {
    this.#started = samples.started;
    this.received = samples.received;
    this.sent = samples.sent;
    this.#inFlight = samples.inFlight;
    this.#handling = samples.handling;
    this.#handled = samples.handled;
  }

  started(): void {
    this.#started.inc();
    this.#inFlight.inc();
  }

  /** To be called once for each call that has started. @param durationMs is kept of a server's calls only */
  ended(code: StatusCode, durationMs = 0): void {
    this.#inFlight.dec();
    this.#handling?.observe(durationMs / 1000);
    let sample = this.#byCode[code];
    if (sample === undefined) {
      sample = this.#handled(code);
      this.#byCode[code] = sample;
    }
    sample.inc();
  }
}

/**
 * Finds the samples of methods. `path` is the full method, `/service/Method`; both functions are for start-up, not for each
 * call.
 */
export interface GrpcMetrics {
  server(path: string, type: GrpcType): MethodMetrics;
  client(path: string, type: GrpcType): MethodMetrics;
}

export function createGrpcMetrics(registry: Registry): GrpcMetrics {
  return {
    server: side(registry, 'server', {
      started: 'RPCs that clients have started here.',
      handled: 'RPCs that have ended here, by how.',
      received: 'Messages of RPCs that clients have sent here. What nodes only pass on is not counted.',
      sent: 'Messages of RPCs that were sent to clients. What nodes only pass on is not counted.',
      inFlight: 'RPCs that run here now.',
    }),
    client: side(registry, 'client', {
      started: 'RPCs started with Gitaly and other nodes.',
      handled: 'RPCs with Gitaly and other nodes that have ended, by how.',
      received: 'Messages received from Gitaly and other nodes. What is only passed on is not counted.',
      sent: 'Messages sent to Gitaly and other nodes. What is only passed on is not counted.',
      inFlight: 'RPCs with Gitaly and other nodes that run now.',
    }),
  };
}

function side(
  registry: Registry,
  name: 'server' | 'client',
  help: Record<'started' | 'handled' | 'received' | 'sent' | 'inFlight', string>,
): (path: string, type: GrpcType) => MethodMetrics {
  const labelNames = ['grpc_type', 'grpc_service', 'grpc_method'] as const;
  const started = counterFamily(registry, { name: `grpc_${name}_started_total`, help: help.started, labelNames });
  const handled = counterFamily(registry, {
    name: `grpc_${name}_handled_total`,
    help: help.handled,
    labelNames: [...labelNames, 'grpc_code'],
  });
  const received = counterFamily(registry, {
    name: `grpc_${name}_msg_received_total`,
    help: help.received,
    labelNames,
  });
  const sent = counterFamily(registry, { name: `grpc_${name}_msg_sent_total`, help: help.sent, labelNames });
  const inFlight = gaugeFamily(registry, {
    name: `grpc_${name}_requests_in_flight`,
    help: help.inFlight,
    labelNames: ['grpc_service', 'grpc_method'],
  });
  const handling =
    name === 'client'
      ? undefined
      : new HistogramFamily(registry, {
          name: 'grpc_server_handling_seconds',
          help: 'How long RPCs have run that have ended here.',
          labelNames,
          buckets: HANDLING_BUCKETS,
        });
  const known = new Map<string, MethodMetrics>();
  return (path, type) => {
    let metrics = known.get(path);
    if (metrics === undefined) {
      const method = methodFields(path);
      const labels = { grpc_type: type, ...method };
      metrics = new MethodMetrics({
        started: started.with(labels),
        received: received.with(labels),
        sent: sent.with(labels),
        inFlight: inFlight.with(method),
        handling: handling?.with(labels),
        handled: (code) => handled.with({ ...labels, grpc_code: statusCodeName(code) }),
      });
      known.set(path, metrics);
    }
    return metrics;
  };
}
