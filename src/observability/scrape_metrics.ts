import type { Registry } from 'prom-client';
import { counterFamily, gaugeFamily, type Sample } from './hot_metrics.ts';
import { metricsPage, type Page } from './metrics_page.ts';

/** The page of all samples, which counts its readers as client_golang's does. */
export class Scrapes {
  readonly #registry: Registry;
  readonly #inFlight: Sample;
  readonly #served: Sample;
  readonly #failed: Sample;

  constructor(registry: Registry) {
    this.#registry = registry;
    this.#inFlight = gaugeFamily(registry, {
      name: 'promhttp_metric_handler_requests_in_flight',
      help: 'Scrapes that are being served now.',
    }).with({});
    const requests = counterFamily(registry, {
      name: 'promhttp_metric_handler_requests_total',
      help: 'Scrapes, by HTTP status.',
      labelNames: ['code'],
    });
    this.#served = requests.with({ code: '200' });
    this.#failed = requests.with({ code: '500' });
    requests.with({ code: '503' }); // upstream limits scrapes, and has this one from the beginning
  }

  /**
   * Rejects if a sample could not be had.
   * @param all whose samples are on the page; default: those of this process
   */
  async page(
    accept: string | undefined,
    acceptEncoding: string | undefined,
    all: () => Promise<Pick<Registry, 'getMetricsAsArray'>> = () => Promise.resolve(this.#registry),
  ): Promise<Page> {
    this.#inFlight.inc();
    try {
      const page = await metricsPage(await all(), accept, acceptEncoding);
      this.#served.inc();
      return page;
    } catch (error) {
      this.#failed.inc();
      throw error;
    } finally {
      this.#inFlight.dec();
    }
  }
}
