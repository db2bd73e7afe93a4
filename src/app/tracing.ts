import process from 'node:process';
import type { TracingConfig } from '../config/config.ts';
import { trustedRoots } from '../net/trusted_roots.ts';
import type { Log } from '../observability/log.ts';
import type { Tracer } from '../observability/tracer.ts';
import { buildInfo } from '../runtime/build_info.ts';
import type { Clock } from '../runtime/clock.ts';

/** The tracer, if tracing is configured. Its libraries are only loaded then. */
export async function openTracer(options: {
  readonly config: TracingConfig | undefined;
  readonly clock: Clock;
  readonly log: Log;
}): Promise<Tracer | undefined> {
  const { config, clock, log } = options;
  if (config === undefined) return undefined;
  const { createOtlpTracer } = await import('../observability/otlp/otlp_tracer.ts');
  const { env } = process;
  const ca = trustedRoots(env, config.otlpCaCertificateFile);
  return createOtlpTracer({
    endpoint: config.otlpEndpoint,
    token: config.otlpToken?.reveal().toString('utf8'),
    ca,
    version: buildInfo.version,
    env,
    clock,
    log,
  });
}
