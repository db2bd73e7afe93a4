import type { KubernetesApiConfig } from '../config.ts';
import { readKeyFile } from '../files/secret_file.ts';
import type { Report } from '../problem.ts';
import type { Value } from '../schema/field.ts';
import { duration } from '../schema/number.ts';
import { file, requiredText, text } from '../schema/scalar.ts';
import { list, optionalSection, section } from '../schema/section.ts';
import { buildListen, checkListen, listenGracePeriod, listenKeys } from './listen.ts';

export const kubernetesApiSection = optionalSection({
  doc: 'The Kubernetes API proxy, through which kubectl reaches clusters. Absent: it is not served.',
  keys: {
    listen: section({
      doc: 'Where kubectl, CI jobs and browsers connect.',
      keys: {
        ...listenKeys('0.0.0.0:8154'),
        listen_grace_period: listenGracePeriod,
        shutdown_grace_period: duration({
          doc: 'On shutdown: how long requests in flight may take before they are cut.',
          default: '3600s',
        }),
      },
      check: checkListen,
    }),
    url_path_prefix: text({
      doc: 'Path before the `/api…` of Kubernetes. Slashes at both ends are added where they are missing.',
      default: '/',
    }),
    allowed_agent_cache_ttl: duration({
      doc: 'How long GitLab’s answer about a job or a user is remembered; 0 asks every time.',
      default: '60s',
      least: 'natural',
    }),
    allowed_agent_cache_error_ttl: duration({ doc: 'The same for a refusal.', default: '10s' }),
    websocket_token_secret_file: file({
      doc: 'Key of the tokens with which browsers open WebSockets, 72 bytes in base64. Without it there are none.',
    }),
    extra_allowed_response_headers: list({
      doc: 'Response headers that pass to clients besides the built-in ones.',
      item: requiredText({
        doc: '',
        rule: (name) => (/^[A-Za-z0-9!#$%&'*+.^_`|~-]+$/.test(name) ? undefined : 'is no header name'),
      }),
    }),
  },
});

type Section = NonNullable<Value<typeof kubernetesApiSection>>;

export function buildKubernetesApi(section: Section, report: Report): KubernetesApiConfig {
  const path = 'agent.kubernetes_api';
  const { listen, websocket_token_secret_file: tokenSecretFile } = section;
  return {
    listen: {
      ...buildListen(listen, `${path}.listen`, 'kubernetes API server', report),
      listenGracePeriodMs: listen.listen_grace_period,
      shutdownGracePeriodMs: listen.shutdown_grace_period,
    },
    urlPathPrefix: `/${section.url_path_prefix}/`.replace(/^\/\/+/, '/').replace(/\/\/+$/, '/'),
    allowedAgentCacheTtlMs: section.allowed_agent_cache_ttl,
    allowedAgentCacheErrorTtlMs: section.allowed_agent_cache_error_ttl,
    websocketTokenSecret:
      tokenSecretFile === undefined
        ? undefined
        : readKeyFile(tokenSecretFile, {
            report,
            path: `${path}.websocket_token_secret_file`,
            what: 'websocket token secret',
            length: 72,
          }),
    extraAllowedResponseHeaders: section.extra_allowed_response_headers,
  };
}
