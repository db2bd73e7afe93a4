import type { User } from '../../gen/gitlab/agent/gitlab/api/api_pb.ts';
import { Validator, type Violations } from '../validation.ts';

/** Several answers name a user; without a username nobody can be impersonated. */
export function validateUser(user: User): Violations {
  return new Validator('User').notEmpty('Username', user.username).violations;
}
