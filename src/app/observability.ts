import { getRequestListener } from '@hono/node-server';
import { Hono } from 'hono';
import type { ObservabilityConfig } from '../config/config.ts';
import { type Front, openFront } from '../net/front.ts';
import type { FrontLimits } from '../net/gate.ts';
import { Hint } from '../observability/hints.ts';
import type { Log } from '../observability/log.ts';
import type { Scrapes } from '../observability/scrape_metrics.ts';
import { errorText } from '../runtime/app_error.ts';
import { identity } from '../runtime/build_info.ts';
import type { Random } from '../runtime/random.ts';
import type { Scope } from '../runtime/scope.ts';
import { logUp } from './front_log.ts';
import type { Readiness } from './readiness.ts';

/** For a whole request. Nobody here has a body to send, and half a request would keep others out. */
const REQUEST_TIMEOUT_MS = 5000;

/** Without it an empty answer would go out in chunks, none of them. */
const NO_BODY = { 'Content-Length': '0' };

const NOT_READY_HINT = 'balancers and Kubernetes send no traffic here until that is over; the lines before say more';

/** What answers on port 8151: probes and metrics, for whoever can reach it. */
export async function openObservability(options: {
  readonly config: ObservabilityConfig;
  readonly readiness: Readiness;
  /** Undefined: nothing is counted. */
  readonly scrapes: Pick<Scrapes, 'page'> | undefined;
  readonly scope: Scope;
  readonly log: Log;
  readonly limits: FrontLimits;
  /** More that is served, if anything. */
  readonly mount?: ((app: Hono) => void) | undefined;
  readonly random: Random;
}): Promise<Front> {
  const { config, readiness, scrapes, scope, random } = options;
  const log = options.log.with({ mod_name: 'observability' });
  const app = new Hono();
  app.use(async (context, next) => {
    await next();
    if (context.res.status !== 404) context.header('Server', identity);
  });
  app.all(config.livenessProbe.urlPath, (context) => context.body(null, 200, NO_BODY));
  let told = '';
  app.all(config.readinessProbe.urlPath, (context) => {
    const text = readiness.missing.join('\n');
    // The start and the end are no trouble. What is, is told once, however often somebody asks.
    if (text !== told && readiness.started && text !== '' && !text.startsWith('server: ')) {
      log.error('ReadinessProbe failed', { error: readiness.missing.join('; '), hint: NOT_READY_HINT });
    }
    told = text;
    const lines = [...readiness.missing, ...readiness.degraded];
    if (lines.length === 0) return context.body(null, 200, NO_BODY);
    return context.text(`${lines.join('\n')}\n`, text === '' ? 200 : 500);
  });
  app.all(config.startupProbe.urlPath, (context) =>
    readiness.started
      ? context.body(null, 200, NO_BODY)
      : context.text(`${readiness.missing.join('\n') || 'not started yet'}\n`, 500),
  );
  if (scrapes !== undefined) {
    app.all(config.prometheus.urlPath, async ({ req, body: answer }) => {
      const { body, headers } = await scrapes.page(req.header('accept'), req.header('accept-encoding'));
      return answer(new Uint8Array(body), 200, headers);
    });
  }
  options.mount?.(app);
  app.notFound((context) => context.text('404 page not found\n', 404));
  app.onError((error, context) => {
    log.error('Observability endpoint failed', {
      url_path: context.req.path,
      error: errorText(error),
      hint: Hint.defect,
    });
    return context.text('internal error\n', 500);
  });
  const listener = getRequestListener(app.fetch, {
    overrideGlobalObjects: false,
    hostname: 'localhost', // for those that speak HTTP/1.0 and name no host, as balancers' health checks do
  });
  const front = await openFront({
    listen: config.listen,
    handlers: { request: (request, response) => void listener(request, response) },
    http1: { headersTimeoutMs: REQUEST_TIMEOUT_MS, requestTimeoutMs: REQUEST_TIMEOUT_MS },
    limits: options.limits,
    scope,
    log,
    random,
  });
  logUp(log, 'Observability', front);
  return front;
}
