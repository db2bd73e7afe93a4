import type { Level } from '../../observability/log.ts';
import type { ObservabilityConfig, TracingConfig } from '../config.ts';
import { checkCaFile } from '../files/certificates.ts';
import { readTokenFile } from '../files/secret_file.ts';
import type { Report } from '../problem.ts';
import { urlRule } from '../schema/address.ts';
import { retired, urlWithKey, type Value } from '../schema/field.ts';
import { duration, oneOf } from '../schema/number.ts';
import { file, flag, optionalText, requiredText, text } from '../schema/scalar.ts';
import { optionalSection, section } from '../schema/section.ts';
import { buildListen, checkListen, listenKeys } from './listen.ts';

function levelKey(doc: string, byDefault: Level) {
  return oneOf<Level>({
    doc,
    names: ['debug', 'info', 'warn', 'error'],
    default: byDefault,
    numbered: ['info', 'debug', 'warn', 'error'],
  });
}

function pathSection(what: string, path: string) {
  return section({ doc: `Where ${what} is.`, keys: { url_path: text({ doc: `Path of ${what}.`, default: path }) } });
}

const tracingSection = optionalSection({
  doc: 'Tracing with OpenTelemetry. Absent: off.',
  keys: {
    connection_string: retired(optionalText({ doc: 'Retired.' }), 'retired, use otlp_endpoint'),
    otlp_endpoint: urlWithKey(
      requiredText({
        doc: 'URL that spans are sent to (OTLP over HTTP).',
        rule: urlRule('http', 'https'),
      }),
    ),
    otlp_token_secret_file: file({
      doc: 'File with the token for it; white space around it is cut. `glpat-…` goes as `Private-Token`, others as `Bearer`.',
      presence: 'non-empty',
    }),
    otlp_ca_certificate_file: file({
      doc: "CA certificates in PEM to trust besides the system's.",
      presence: 'non-empty',
    }),
  },
});

export const observabilitySection = section({
  doc: 'How to look into the process.',
  keys: {
    usage_reporting_period: duration({
      doc: 'How often usage figures go to GitLab; 0 never.',
      default: '60s',
      least: 'natural',
    }),
    listen: section({
      doc: 'Where metrics and probes are served.',
      keys: {
        ...listenKeys('127.0.0.1:8151'),
        certificate_file: file({ doc: 'Certificate chain in PEM: the listener speaks TLS.', presence: 'non-empty' }),
        key_file: file({ doc: 'Private key in PEM that belongs to it.', presence: 'non-empty' }),
      },
      check: checkListen,
    }),
    prometheus: pathSection('the page of metrics', '/metrics'),
    tracing: tracingSection,
    sentry: section({
      doc: 'Error reporting.',
      keys: {
        dsn: urlWithKey(text({ doc: 'DSN of the Sentry project; empty: off.', rule: dsnProblem })),
        environment: text({ doc: 'Name of the environment in reports.' }),
      },
    }),
    logging: section({
      doc: 'The log, JSON lines on standard error.',
      keys: {
        level: levelKey('From which level on the program writes.', 'info'),
        grpc_level: levelKey(
          'The same for gRPC connections: `warn` tells of those that break, `info` of all, `debug` of each GOAWAY as well.',
          'error',
        ),
      },
    }),
    google_profiler: section({
      doc: "Google's profiler; means nothing here.",
      keys: {
        enabled: flag({ doc: 'Means nothing here.' }),
        project_id: text({ doc: 'Means nothing here.' }),
        credentials_file: file({ doc: 'Means nothing here.' }),
        debug_logging: flag({ doc: 'Means nothing here.' }),
      },
    }),
    liveness_probe: pathSection('the liveness probe', '/liveness'),
    readiness_probe: pathSection('the readiness probe', '/readiness'),
    startup_probe: pathSection('the startup probe (our own, upstream has no such thing)', '/startup'),
  },
});

/** `https://<public key>@<host>/<project>`. */
function dsnProblem(dsn: string): string | undefined {
  const url = URL.canParse(dsn) ? new URL(dsn) : undefined;
  if (url === undefined || !/^https?:$/.test(url.protocol)) return 'error tracker: DSN has an invalid scheme';
  if (url.username === '') return 'error tracker: DSN has no key';
  if (!/\/[^/]+\/?$/.test(url.pathname)) return 'error tracker: DSN has no project';
  return undefined;
}

type Section = Value<typeof observabilitySection>;

export function buildObservability(section: Section, report: Report): ObservabilityConfig {
  return {
    usageReportingPeriodMs: section.usage_reporting_period,
    listen: buildListen(section.listen, 'observability.listen', 'observability', report),
    prometheus: { urlPath: section.prometheus.url_path },
    tracing: section.tracing && buildTracing(section.tracing, report),
    sentry: { dsn: section.sentry.dsn, environment: section.sentry.environment },
    logging: { level: section.logging.level, grpcLevel: section.logging.grpc_level },
    livenessProbe: { urlPath: section.liveness_probe.url_path },
    readinessProbe: { urlPath: section.readiness_probe.url_path },
    startupProbe: { urlPath: section.startup_probe.url_path },
  };
}

function buildTracing(tracing: NonNullable<Section['tracing']>, report: Report): TracingConfig {
  const path = 'observability.tracing';
  return {
    otlpEndpoint: new URL(URL.canParse(tracing.otlp_endpoint) ? tracing.otlp_endpoint : 'http://invalid.invalid'),
    otlpToken: readTokenFile(tracing.otlp_token_secret_file, {
      report,
      path: `${path}.otlp_token_secret_file`,
      what: 'unable to read OTLP token',
    }),
    otlpCaCertificateFile: checkCaFile(tracing.otlp_ca_certificate_file, {
      report,
      path: `${path}.otlp_ca_certificate_file`,
    }),
  };
}
