import type { GitRefCF, ObjectsToSynchronizeRequest, PathCF } from '../../gen/gitlab/agent/gitops/rpc/gitops_pb.ts';
import { Validator, type Violations } from '../../gitlab/validation.ts';
import { AppError } from '../../runtime/app_error.ts';
import { StatusCode } from '../../runtime/status_code.ts';

/** @throws AppError InvalidArgument */
export function requireValid({ projectId, paths, ref }: ObjectsToSynchronizeRequest, maxNumberOfPaths: number): void {
  const { violations } = new Validator('ObjectsToSynchronizeRequest')
    .notEmpty('ProjectId', projectId)
    .atLeastOne('Paths', paths)
    .each('Paths', paths, validatePath)
    .embedded('Ref', ref, validateRef);
  if (violations.length > 0) throw new AppError(StatusCode.InvalidArgument, violations.join('; '));
  if (paths.length > maxNumberOfPaths) {
    throw new AppError(
      StatusCode.InvalidArgument,
      `maximum number of GitOps paths per manifest project is ${maxNumberOfPaths}, but ${paths.length} was requested`,
    );
  }
}

function validatePath({ path }: PathCF): Violations {
  const validator = new Validator('PathCF').required('Path', path.case);
  if (path.case === undefined) return validator.violations;
  return validator.notEmpty(path.case === 'glob' ? 'Glob' : 'File', path.value).violations;
}

function validateRef({ ref }: GitRefCF): Violations {
  const validator = new Validator('GitRefCF').required('Ref', ref.case);
  if (ref.case === undefined) return validator.violations;
  return validator.notEmpty({ tag: 'Tag', branch: 'Branch', commit: 'Commit' }[ref.case], ref.value).violations;
}

/** The full name of what a request follows; undefined if it wants one commit for ever. */
export function refName(ref: GitRefCF | undefined): string | undefined {
  switch (ref?.ref.case) {
    case 'tag':
      return `refs/tags/${ref.ref.value}`;
    case 'branch':
      return `refs/heads/${ref.ref.value}`;
    case 'commit':
      return undefined;
    default:
      return 'HEAD';
  }
}
