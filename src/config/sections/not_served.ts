import { duration } from '../schema/number.ts';
import { file, flag, requiredText, text } from '../schema/scalar.ts';
import { list, optionalSection, section, unreadSection } from '../schema/section.ts';
import { checkListen, listenGracePeriod, listenKeys } from './listen.ts';

/** What upstream serves and this server does not: files that have it must start all the same. */

export const workspacesSection = optionalSection({
  doc: 'HTTP server of workspaces. Not served here.',
  keys: {
    enabled: flag({ doc: 'Not served here.' }),
    listen: section({
      doc: 'Not served here.',
      keys: {
        ...listenKeys('localhost:8160'),
        listen_grace_period: listenGracePeriod,
        shutdown_grace_period: duration({ doc: 'Not served here.', default: '200s' }),
      },
      check: checkListen,
    }),
  },
});

export const autoflowSection = optionalSection({
  doc: 'AutoFlow. Not served here.',
  keys: {
    temporal: section({
      doc: 'Connection to Temporal.',
      keys: {
        host_port: text({ doc: 'host:port of Temporal.' }),
        namespace: text({ doc: 'Namespace in Temporal.' }),
        enable_tls: flag({ doc: 'Speak TLS.' }),
        certificate_file: file({ doc: 'Client certificate in PEM.' }),
        key_file: file({ doc: 'Private key in PEM that belongs to it.' }),
        workflow_data_encryption: section({
          doc: 'Encryption of what Temporal keeps.',
          keys: {
            secret_key_file: file({ doc: 'The key.' }),
            codec_server: section({
              doc: "Server that decrypts for Temporal's user interface.",
              keys: {
                listen: section({ doc: 'Not served here.', keys: listenKeys('localhost:8142'), check: checkListen }),
                temporal_web_ui_url: text({ doc: 'URL of the user interface.' }),
                temporal_oidc_url: text({ doc: 'URL of its identity provider.' }),
                authorized_user_emails: list({ doc: 'Who may decrypt.', item: requiredText({ doc: '' }) }),
              },
            }),
          },
        }),
      },
    }),
    http_client: unreadSection({ doc: 'Limits of outgoing requests. Any content is taken.' }),
    project_info_cache_ttl: duration({
      doc: 'How long facts about a project are remembered.',
      default: '300s',
      least: 'natural',
    }),
    project_info_cache_error_ttl: duration({ doc: 'The same for a refusal.', default: '60s' }),
  },
});

export const eventsPlatformSection = unreadSection({ doc: 'Events platform. Not served here. Any content is taken.' });
