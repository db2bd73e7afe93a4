import type { Duration } from '@bufbuild/protobuf/wkt';
import type {
  CiAccessAsCF,
  CiAccessGroupCF,
  CiAccessProjectCF,
  ConfigurationFile,
  ContainerScanningCF,
  GitRefCF,
  ManifestProjectCF,
  RemoteDevelopmentCF,
  UserAccessCF,
} from '../../gen/gitlab/agent/agentcfg/agentcfg_pb.ts';
import { Validator, type Violations } from '../../gitlab/validation.ts';

/** What is wrong with a configuration that could be read (docs/protocol/agent_configuration.md). */
export function validateConfiguration(file: ConfigurationFile): Violations {
  return new Validator('ConfigurationFile')
    .embedded(
      'Gitops',
      file.gitops,
      ({ manifestProjects }) =>
        new Validator('GitopsCF').each('ManifestProjects', manifestProjects, manifestProject).violations,
    )
    .embedded(
      'CiAccess',
      file.ciAccess,
      ({ projects, groups }) =>
        new Validator('CiAccessCF')
          .each('Projects', projects, (project) => ciAccess('CiAccessProjectCF', project))
          .each('Groups', groups, (group) => ciAccess('CiAccessGroupCF', group)).violations,
    )
    .embedded('ContainerScanning', file.containerScanning, containerScanning)
    .embedded('UserAccess', file.userAccess, userAccess)
    .embedded('RemoteDevelopment', file.remoteDevelopment, remoteDevelopment).violations;
}

function manifestProject(project: ManifestProjectCF): Violations {
  const validator = new Validator('ManifestProjectCF');
  // Absent it means the configuration project.
  if (project.id !== undefined) validator.notEmpty('Id', project.id);
  return validator
    .each('Paths', project.paths, ({ glob }) => new Validator('PathCF').notEmpty('Glob', glob).violations)
    .oneOf('DryRunStrategy', project.dryRunStrategy, ['', 'none', 'client', 'server'])
    .oneOf('PrunePropagationPolicy', project.prunePropagationPolicy, ['', 'orphan', 'background', 'foreground'])
    .oneOf('InventoryPolicy', project.inventoryPolicy, ['', 'must_match', 'adopt_if_no_inventory', 'adopt_all'])
    .embedded('Ref', project.ref, gitRef).violations;
}

function gitRef({ ref }: GitRefCF): Violations {
  const validator = new Validator('GitRefCF');
  if (ref.case === undefined) return validator.required('Ref', undefined).violations;
  const name = { tag: 'Tag', branch: 'Branch', commit: 'Commit' }[ref.case];
  return validator.notEmpty(name, ref.value).violations;
}

function ciAccess(message: string, { id, accessAs, environments }: CiAccessProjectCF | CiAccessGroupCF): Violations {
  return new Validator(message)
    .notEmpty('Id', id)
    .embedded('AccessAs', accessAs, ciAccessAs)
    .eachNotEmpty('Environments', environments).violations;
}

function ciAccessAs({ as }: CiAccessAsCF): Violations {
  const validator = new Validator('CiAccessAsCF').required('As', as.case);
  if (as.case !== 'impersonate') return validator.violations;
  return validator.embedded(
    'Impersonate',
    as.value,
    ({ username, groups, extra }) =>
      new Validator('CiAccessAsImpersonateCF')
        .notEmpty('Username', username)
        .eachNotEmpty('Groups', groups)
        .each(
          'Extra',
          extra,
          ({ key, val }) =>
            new Validator('ExtraKeyValCF').notEmpty('Key', key).atLeastOne('Val', val).eachNotEmpty('Val', val)
              .violations,
        ).violations,
  ).violations;
}

function userAccess({ accessAs, projects, groups }: UserAccessCF): Violations {
  const entry = (message: string) => (one: { id: string }) => new Validator(message).notEmpty('Id', one.id).violations;
  return new Validator('UserAccessCF')
    .embedded('AccessAs', accessAs, ({ as }) => new Validator('UserAccessAsCF').required('As', as.case).violations)
    .each('Projects', projects, entry('UserAccessProjectCF'))
    .each('Groups', groups, entry('UserAccessGroupCF')).violations;
}

function containerScanning({ cadence }: ContainerScanningCF): Violations {
  return new Validator('ContainerScanningCF').notEmpty('Cadence', cadence).violations;
}

function remoteDevelopment({ partialSyncInterval, fullSyncInterval }: RemoteDevelopmentCF): Violations {
  const validator = new Validator('RemoteDevelopmentCF');
  const interval = (field: string, value: Duration | undefined) => {
    if (value !== undefined && (value.seconds < 0n || (value.seconds === 0n && value.nanos <= 0))) {
      validator.violation(field, 'value must be greater than 0s');
    }
  };
  interval('PartialSyncInterval', partialSyncInterval);
  interval('FullSyncInterval', fullSyncInterval);
  return validator.violations;
}
