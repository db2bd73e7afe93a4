import type { CiAccessAsCF, CiAccessAsImpersonateCF } from '../../gen/gitlab/agent/agentcfg/agentcfg_pb.ts';
import {
  type AllowedAgent,
  type AllowedAgentsForJob,
  AllowedAgentsForJobSchema,
  type Environment,
} from '../../gen/gitlab/agent/gitlab/api/api_pb.ts';
import { readAnswer } from '../answer.ts';
import type { ApiCaller } from '../api_call.ts';
import type { CallOptions } from '../client.ts';
import { Validator, type Violations } from '../validation.ts';
import { validateUser } from './user.ts';

const PATH = '/api/v4/job/allowed_agents';

/** Asks which agents a CI job may use, and as whom. */
export async function allowedAgents(
  api: ApiCaller,
  jobToken: string,
  options: CallOptions,
): Promise<AllowedAgentsForJob> {
  const headers = { Accept: 'application/json', 'Job-Token': jobToken };
  const response = await api.call({ method: 'GET', path: PATH, headers, retry: true, queue: 'people' }, options);
  const expected = { schema: AllowedAgentsForJobSchema, validate };
  return readAnswer(response, PATH, expected, options.signal, api.clock);
}

function validate(answer: AllowedAgentsForJob): Violations {
  return new Validator('AllowedAgentsForJob')
    .each('AllowedAgents', answer.allowedAgents, validateAllowedAgent)
    .required('Job', answer.job)
    .required('Pipeline', answer.pipeline)
    .required('Project', answer.project)
    .required('User', answer.user, validateUser)
    .embedded('Environment', answer.environment, validateEnvironment).violations;
}

function validateAllowedAgent(agent: AllowedAgent): Violations {
  return new Validator('AllowedAgent')
    .required('ConfigProject', agent.configProject)
    .embedded(
      'Configuration',
      agent.configuration,
      ({ accessAs }) => new Validator('Configuration').embedded('AccessAs', accessAs, validateAccessAs).violations,
    ).violations;
}

/** An identity that this server does not know must not silently become the agent's own. */
function validateAccessAs({ as }: CiAccessAsCF): Violations {
  return new Validator('CiAccessAsCF')
    .required('As', as.case)
    .embedded('Impersonate', as.case === 'impersonate' ? as.value : undefined, validateImpersonate).violations;
}

function validateImpersonate(identity: CiAccessAsImpersonateCF): Violations {
  return new Validator('CiAccessAsImpersonateCF')
    .notEmpty('Username', identity.username)
    .eachNotEmpty('Groups', identity.groups)
    .each(
      'Extra',
      identity.extra,
      ({ key, val }) =>
        new Validator('ExtraKeyValCF').notEmpty('Key', key).atLeastOne('Val', val).eachNotEmpty('Val', val).violations,
    ).violations;
}

function validateEnvironment({ slug, tier }: Environment): Violations {
  return new Validator('Environment').notEmpty('Slug', slug).notEmpty('Tier', tier).violations;
}
