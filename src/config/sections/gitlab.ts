import type { GitLabConfig } from '../config.ts';
import { checkCaFile } from '../files/certificates.ts';
import { readKeyFile } from '../files/secret_file.ts';
import type { Report } from '../problem.ts';
import { urlRule } from '../schema/address.ts';
import { url, type Value } from '../schema/field.ts';
import { file, optionalText, requiredText } from '../schema/scalar.ts';
import { optionalSection } from '../schema/section.ts';
import { buildRateLimit, rateLimitSection } from './rate_limit.ts';

export const gitlabSection = optionalSection({
  doc: 'The GitLab that agents and users belong to. Exactly one of `gitlab` and `standalone` must be there.',
  keys: {
    address: url(
      requiredText({
        doc: 'URL of GitLab (of Workhorse, for choice) for REST calls; may have a path and a query.',
        rule: urlRule('http', 'https'),
      }),
    ),
    authentication_secret_file: file({
      doc: 'The secret shared with Rails, 32 bytes in base64.',
      presence: 'required',
    }),
    ca_certificate_file: file({ doc: "CA certificates in PEM to trust besides the system's." }),
    api_rate_limit: rateLimitSection({
      doc: 'Limit of the calls to GitLab.',
      refillRatePerSecond: 50,
      bucketSize: 250,
    }),
    external_url: optionalText({
      doc: "GitLab's URL as browsers see it: the `Origin` that may use the Kubernetes API proxy, compared character by character.",
      rule: urlRule('http', 'https'),
    }),
  },
});

type Section = NonNullable<Value<typeof gitlabSection>>;

export function buildGitLab(section: Section, report: Report): GitLabConfig {
  return {
    address: new URL(URL.canParse(section.address) ? section.address : 'http://invalid.invalid'),
    authenticationSecret: readKeyFile(section.authentication_secret_file, {
      report,
      path: 'gitlab.authentication_secret_file',
      what: 'authentication secret',
      length: 32,
    }),
    caCertificateFile: checkCaFile(section.ca_certificate_file, { report, path: 'gitlab.ca_certificate_file' }),
    apiRateLimit: buildRateLimit(section.api_rate_limit),
    externalUrl: section.external_url ?? '',
  };
}
