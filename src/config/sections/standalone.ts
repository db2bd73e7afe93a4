import { createHash } from 'node:crypto';
import type { StandaloneAgent, StandaloneConfig, StandaloneUser } from '../config.ts';
import { warnIfOpenToAll } from '../files/private_file.ts';
import { readBytes } from '../files/read_file.ts';
import type { Report } from '../problem.ts';
import type { Value } from '../schema/field.ts';
import { requiredId } from '../schema/number.ts';
import { file, optionalText, requiredText } from '../schema/scalar.ts';
import { list, optionalSection } from '../schema/section.ts';
import { accessAs, agentsOfUser } from './standalone_fields.ts';

/** A token comes in a file, or as its digest, so that the configuration may be world-readable. */
const tokenKeys = {
  token_file: file({ doc: 'File with the token; one newline at its end is cut. Either this or `token_sha256`.' }),
  token_sha256: optionalText({
    doc: 'SHA-256 of the token, 64 hexadecimal digits, for example from `printf %s "$TOKEN" | sha256sum`.',
    rule: (value) => (/^[0-9a-fA-F]{64}$/.test(value) ? undefined : 'is not 64 hexadecimal digits'),
  }),
};

export const standaloneSection = optionalSection({
  doc: 'Agents and users without a GitLab, instead of `gitlab`. Our own, upstream has no such thing.',
  keys: {
    agents: list({
      doc: 'The agents that may connect.',
      item: optionalSection({
        doc: '',
        keys: {
          id: requiredId({ doc: 'Number of the agent; users name it in `pat:<agent id>:<token>`.' }),
          name: requiredText({ doc: 'Name of the agent.' }),
          ...tokenKeys,
        },
      }),
    }),
    users: list({
      doc: 'Who may use the Kubernetes API proxy, with `Authorization: Bearer pat:<agent id>:<token>`.',
      item: optionalSection({
        doc: '',
        keys: {
          name: requiredText({ doc: 'Name of the user.' }),
          ...tokenKeys,
          agents: agentsOfUser,
          access_as: accessAs,
        },
      }),
    }),
  },
});

type Section = NonNullable<Value<typeof standaloneSection>>;

export function buildStandalone(section: Section, report: Report): StandaloneConfig {
  const agents: StandaloneAgent[] = [];
  for (const [i, agent] of section.agents.entries()) {
    if (agent === undefined) continue;
    const path = `standalone.agents[${i}]`;
    const tokenSha256 = tokenDigest(agent, path, report);
    const ids = agents.map(({ id }) => id);
    if (agent.id !== 0n && ids.includes(agent.id)) report.problem(`${path}.id`, `agent ${agent.id} is there already`);
    agents.push({ id: agent.id, name: agent.name, tokenSha256 });
  }
  const users: StandaloneUser[] = [];
  for (const [i, user] of section.users.entries()) {
    if (user === undefined) continue;
    const path = `standalone.users[${i}]`;
    const tokenSha256 = tokenDigest(user, path, report);
    if (users.some(({ name }) => name === user.name)) {
      report.problem(`${path}.name`, `user ${JSON.stringify(user.name)} is there already`);
    }
    const unknown = user.agents === '*' ? [] : user.agents.filter((id) => !agents.some((agent) => agent.id === id));
    if (unknown.length > 0) report.problem(`${path}.agents`, `no such agent: ${unknown.join(', ')}`);
    users.push({ name: user.name, tokenSha256, agents: user.agents, accessAs: user.access_as });
  }
  refuseSharedTokens('standalone.agents', agents, report);
  refuseSharedTokens('standalone.users', users, report);
  return { agents, users };
}

/** SHA-256 of the one token of `holder`. */
function tokenDigest(
  holder: { token_file: string | undefined; token_sha256: string | undefined },
  path: string,
  report: Report,
): Buffer {
  const { token_file: tokenFile, token_sha256: digest } = holder;
  const none = Buffer.alloc(0);
  if (tokenFile !== undefined && digest !== undefined) {
    report.problem(`${path}.token_sha256`, 'there is a token_file already: only one of the two');
  } else if (digest !== undefined) {
    return Buffer.from(digest, 'hex');
  } else if (tokenFile === undefined) {
    // One that is there and wrong has been reported.
    if (!report.failed(`${path}.token_file`) && !report.failed(`${path}.token_sha256`)) {
      report.problem(`${path}.token_file`, 'is required (or token_sha256)');
    }
  } else {
    const read = readBytes(tokenFile);
    if ('wrong' in read) report.problem(`${path}.token_file`, `token: ${read.wrong}`);
    else {
      warnIfOpenToAll(tokenFile, `${path}.token_file`, report);
      return digestOf(read.bytes, `${path}.token_file`, report);
    }
  }
  return none;
}

function digestOf(bytes: Buffer, path: string, report: Report): Buffer {
  const token = bytes.toString('latin1').replace(/\r?\n$/, '');
  if (token === '') report.problem(path, 'token: the file is empty');
  else if (!/^[\x21-\x7e]+$/.test(token)) {
    report.problem(path, 'token: only visible ASCII characters can be sent in a header');
  }
  return createHash('sha256').update(token, 'latin1').digest();
}

/** Whoever has such a token would be either of the two. */
function refuseSharedTokens(path: string, holders: readonly { tokenSha256: Buffer }[], report: Report): void {
  const seen = new Map<string, number>();
  for (const [i, { tokenSha256 }] of holders.entries()) {
    if (tokenSha256.length === 0) continue;
    const digest = tokenSha256.toString('hex');
    const first = seen.get(digest);
    if (first === undefined) seen.set(digest, i);
    else report.problem(`${path}[${i}]`, `has the same token as ${path}[${first}]`);
  }
}
