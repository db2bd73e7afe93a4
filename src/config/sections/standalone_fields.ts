import type { StandaloneUser } from '../config.ts';
import { type Field, shown } from '../schema/field.ts';
import { requiredId } from '../schema/number.ts';
import { requiredText, text } from '../schema/scalar.ts';
import { list, section } from '../schema/section.ts';
import { didYouMean } from '../schema/suggest.ts';
import { isUnset } from '../yaml/tree.ts';

const idList = list({ doc: '', item: requiredId({ doc: '' }), nonEmpty: true });

/** `"*"`, or a list of agents' numbers. */
export const agentsOfUser: Field<StandaloneUser['agents']> = {
  type: 'list of int64s or `"*"`',
  doc: 'Numbers of the agents that the user may reach; `"*"` for all.',
  shownDefault: undefined,
  keys: undefined,
  retired: undefined,
  decode(tree, path, report) {
    if (tree?.kind === 'scalar' && tree.value !== null) {
      if (tree.value === '*') return '*';
      report.problem(path, `${shown(tree)} is neither a list of agents nor "*"`);
      return [];
    }
    return idList.decode(tree, path, report);
  },
  encode: (value) => (value === '*' ? '*' : [...value]),
};

const impersonate = section({
  doc: 'Who the agent says it acts for.',
  keys: {
    username: requiredText({ doc: 'Name of the impersonated user.' }),
    groups: list({ doc: 'Groups of the impersonated user.', item: requiredText({ doc: '' }) }),
    uid: text({ doc: 'UID of the impersonated user.' }),
    extra: list({
      doc: 'Further facts about the impersonated user.',
      item: section({
        doc: '',
        keys: {
          key: requiredText({ doc: 'Name of the fact.' }),
          val: list({ doc: 'Its values.', item: requiredText({ doc: '' }), nonEmpty: true }),
        },
      }),
    }),
  },
});

const accessSection = section({ doc: '', keys: { impersonate } });

const names = ['agent', 'user'] as const;

/** `agent`, `user` or `{ impersonate: … }`. Documented with the keys below `impersonate`. */
export const accessAs: Field<StandaloneUser['accessAs']> = {
  type: 'one of `agent`, `user`, or a section',
  doc: "Whose rights requests have: those of the agent's own service account, those of the user `gitlab:user:<name>` in Kubernetes, or those of whoever `impersonate` names.",
  shownDefault: undefined,
  keys: { impersonate },
  retired: undefined,
  decode(tree, path, report) {
    if (tree === undefined || isUnset(tree)) {
      report.problem(path, 'is required: agent, user or { impersonate: … }');
      return 'agent';
    }
    if (tree.kind === 'map' && tree.entries.has('impersonate')) return accessSection.decode(tree, path, report);
    const name = tree.kind === 'scalar' ? names.find((candidate) => candidate === tree.value) : undefined;
    if (name !== undefined) return name;
    const hint = didYouMean(tree.kind === 'scalar' ? tree.source : '', [...names, 'impersonate']);
    report.problem(path, `${shown(tree)} is neither agent, user nor { impersonate: … }${hint}`);
    return 'agent';
  },
  encode: (value) => (typeof value === 'string' ? value : { impersonate: impersonate.encode(value.impersonate) }),
};
