import { childPath } from './problem.ts';
import type { Field, Fields } from './schema/field.ts';
import { rootSection } from './sections/root.ts';

/** The reference of all keys as Markdown, made from the very table that reads them: for docs/configuration.md. */
export function configurationReference(): string {
  const lines = Object.entries(rootSection.keys ?? {}).flatMap(([name, field]) => [
    '',
    `### \`${name}\``,
    '',
    field.doc,
    ...table(name, field.keys),
  ]);
  return `${lines.join('\n').trim()}\n`;
}

function table(path: string, keys: Fields | undefined): string[] {
  if (keys === undefined) return [];
  return ['', '| key | type | default | meaning |', '|---|---|---|---|', ...rows(path, keys)];
}

function rows(parent: string, keys: Fields): string[] {
  return Object.entries(keys).flatMap(([name, field]) => {
    const path = childPath(parent, name);
    const below = field.type === 'list of sections' ? `${path}[]` : path;
    return [row(path, field), ...rows(below, field.keys ?? {})];
  });
}

function row(path: string, field: Field<unknown>): string {
  const shownDefault = field.shownDefault === undefined ? '' : `\`${field.shownDefault}\``;
  const cells = [`\`${path}\``, field.type, field.shownDefault === 'absent' ? 'absent' : shownDefault, field.doc];
  return `| ${cells.map((cell) => cell.replaceAll('|', '\\|')).join(' | ')} |`;
}
