import type { GitalyInfo, GitalyRepository } from '../gen/gitlab/agent/entity/entity_pb.ts';
import { Validator, type Violations } from './validation.ts';

/** What is wrong with where GitLab says a Gitaly is. */
export function validateGitalyInfo(info: GitalyInfo): Violations {
  return new Validator('GitalyInfo').notEmpty('Address', info.address).violations;
}

/** What is wrong with where GitLab says a repository is. */
export function validateGitalyRepository(repository: GitalyRepository): Violations {
  return new Validator('GitalyRepository')
    .notEmpty('StorageName', repository.storageName)
    .notEmpty('RelativePath', repository.relativePath)
    .notEmpty('GlRepository', repository.glRepository)
    .notEmpty('GlProjectPath', repository.glProjectPath).violations;
}
