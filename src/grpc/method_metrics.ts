import type { DescMethod, DescService } from '@bufbuild/protobuf';
import type { GrpcMetrics, GrpcType, MethodMetrics } from '../observability/grpc_metrics.ts';

const types: Record<DescMethod['methodKind'], GrpcType> = {
  unary: 'unary',
  client_streaming: 'client_stream',
  server_streaming: 'server_stream',
  bidi_streaming: 'bidi_stream',
};

/** Where the calls of the services' methods are counted, by their full method; looked up here once and for all. */
export function serverMetrics(services: readonly DescService[], metrics: GrpcMetrics): Map<string, MethodMetrics> {
  const found = new Map<string, MethodMetrics>();
  for (const service of services) {
    for (const method of service.methods) {
      const path = `/${service.typeName}/${method.name}`;
      found.set(path, metrics.server(path, types[method.methodKind]));
    }
  }
  return found;
}
