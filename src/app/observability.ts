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

/** Without it an empty answer would go out in chunks, none of them. */
const NO_BODY = { 'Content-Length': '0' };

/** What answers on port 8151: probes and metrics, for whoever can reach it. */
export async function openObservability(options: {
  readonly config: ObservabilityConfig;
  readonly readiness: Readiness;
  readonly scrapes: Pick<Scrapes, 'page'>;
  readonly scope: Scope;
  readonly log: Log;
  readonly limits: FrontLimits;
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
  app.all(config.readinessProbe.urlPath, (context) => {
    const { missing } = readiness;
    return missing.length === 0 ? context.body(null, 200, NO_BODY) : context.text(`${missing.join('\n')}\n`, 500);
  });
  app.all(config.prometheus.urlPath, async (context) => {
    const { req } = context;
    const { body, headers } = await scrapes.page(req.header('accept'), req.header('accept-encoding'));
    return context.body(new Uint8Array(body), 200, headers);
  });
  app.notFound((context) => context.text('404 page not found\n', 404));
  app.onError((error, context) => {
    log.error('Observability endpoint failed', {
      url_path: context.req.path,
      error: errorText(error),
      hint: Hint.defect,
    });
    return context.text('internal error\n', 500);
  });
  const listener = getRequestListener(app.fetch, { overrideGlobalObjects: false });
  const front = await openFront({
    listen: config.listen,
    handlers: { request: (request, response) => void listener(request, response) },
    limits: options.limits,
    scope,
    log,
    random,
  });
  logUp(log, 'Observability', front);
  return front;
}
