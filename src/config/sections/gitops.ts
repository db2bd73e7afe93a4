import type { GitopsConfig } from '../config.ts';
import { retired, type Value } from '../schema/field.ts';
import { duration, uint32 } from '../schema/number.ts';
import { optionalSection } from '../schema/section.ts';

const keys = {
  poll_period: duration({ doc: 'How often the manifest projects are looked at.', default: '300s' }),
  project_info_cache_ttl: duration({
    doc: 'How long facts about a project are remembered; 0 asks every time.',
    default: '300s',
    least: 'natural',
  }),
  project_info_cache_error_ttl: duration({ doc: 'The same for a refusal.', default: '60s' }),
  max_manifest_file_size: uint32({ doc: 'Bytes of one manifest file.', default: 5_242_880 }),
  max_total_manifest_file_size: uint32({ doc: 'Bytes of all manifest files together.', default: 20_971_520 }),
  max_number_of_paths: uint32({ doc: 'Paths in one project.', default: 100 }),
  max_number_of_files: uint32({ doc: 'Files in one project.', default: 1000 }),
};

export const gitopsSection = retired(
  optionalSection({ doc: 'Deployment from manifest projects, which agents up to GitLab 16 ask for. Retired.', keys }),
  'retired in GitLab 18; only agents of GitLab 16 and older use it',
);

type Section = NonNullable<Value<typeof gitopsSection>>;

export function buildGitops(section: Section): GitopsConfig {
  return {
    pollPeriodMs: section.poll_period,
    projectInfoCacheTtlMs: section.project_info_cache_ttl,
    projectInfoCacheErrorTtlMs: section.project_info_cache_error_ttl,
    maxManifestFileSize: section.max_manifest_file_size,
    maxTotalManifestFileSize: section.max_total_manifest_file_size,
    maxNumberOfPaths: section.max_number_of_paths,
    maxNumberOfFiles: section.max_number_of_files,
  };
}
