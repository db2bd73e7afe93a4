import type { Registry } from 'prom-client';
import { type StatusCode, statusCodeName } from '../runtime/status_code.ts';
import { counterFamily, gaugeFamily, type Sample } from './hot_metrics.ts';
import { methodFields } from './method_fields.ts';

/** As go-grpc-prometheus has it. */
export type GrpcType = 'unary' | 'client_stream' | 'server_stream' | 'bidi_stream';

/** The samples of one method, looked up once. */
export class MethodMetrics {
  readonly received: Sample;
  readonly sent: Sample;
  readonly #started: Sample;
  readonly #inFlight: Sample;
  readonly #handled: (code: StatusCode) => Sample;
  /** By code; most methods see few of them. */
  readonly #byCode: (Sample | undefined)[] = [];

  constructor(samples: {
    readonly started: Sample;
    readonly received: Sample;
    readonly sent: Sample;
    readonly inFlight: Sample;
    readonly handled: (code: StatusCode) => Sample;
  }) {
    this.#started = samples.started;
    this.received = samples.received;
    this.sent = samples.sent;
    this.#inFlight = samples.inFlight;
    this.#handled = samples.handled;
  }

  started(): void {
    this.#started.inc();
    this.#inFlight.inc();
  }

  /** To be called once for each call that has started. */
  ended(code: StatusCode): void {
    this.#inFlight.dec();
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
        handled: (code) => handled.with({ ...labels, grpc_code: statusCodeName(code) }),
      });
      known.set(path, metrics);
    }
    return metrics;
  };
}
