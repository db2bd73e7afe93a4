import { parse } from 'yaml';
import type { Json } from './store.ts';

/** Applies a PATCH body. @returns undefined when the media type is not supported @throws {Error} when the body is malformed */
export function applyPatch(mediaType: string, body: string, before: Json): Json | undefined {
  switch (mediaType) {
    case 'application/strategic-merge-patch+json':
      return merge(before, JSON.parse(body) as Json, true);
    case 'application/merge-patch+json':
      return merge(before, JSON.parse(body) as Json, false);
    case 'application/apply-patch+yaml': // without ownership of fields
      return merge(before, parse(body) as Json, true);
    case 'application/json-patch+json':
      return jsonPatch(before, JSON.parse(body) as JsonPatchStep[]);
    default:
      return undefined;
  }
}

function merge(before: Json, patch: Json, byName: boolean): Json {
  const out: Json = { ...before };
  for (const [name, value] of Object.entries(patch)) {
    if (name.startsWith('$')) continue; // directives about order and retained keys
    const old = out[name];
    if (value === null) delete out[name];
    else if (isObject(value)) out[name] = merge(isObject(old) ? old : {}, value, byName);
    else if (byName && isNamedList(value) && isNamedList(old)) out[name] = mergeLists(old, value);
    else out[name] = value;
  }
  return out;
}

/** Strategic merge: list elements with the same name are one element. */
function mergeLists(before: NamedObject[], patch: NamedObject[]): Json[] {
  const out = new Map<string, Json>(before.map((element) => [element.name, element]));
  for (const element of patch) {
    if (element.$patch === 'delete') out.delete(element.name);
    else out.set(element.name, merge(out.get(element.name) ?? {}, element, true));
  }
  return [...out.values()];
}

interface JsonPatchStep {
  op: 'add' | 'replace' | 'remove' | 'test';
  path: string;
  value?: unknown;
}

function jsonPatch(before: Json, steps: JsonPatchStep[]): Json {
  const out = structuredClone(before);
  for (const { op, path, value } of steps) {
    const parts = path
      .split('/')
      .slice(1)
      .map((part) => part.replaceAll('~1', '/').replaceAll('~0', '~'));
    const last = parts.pop();
    let at: unknown = out;
    for (const part of parts) at = (at as Json | undefined)?.[part];
    if (last === undefined || typeof at !== 'object' || at === null) throw new Error(`no such path: ${path}`);
    if (Array.isArray(at)) {
      const index = last === '-' ? at.length : Number(last);
      if (op === 'add') at.splice(index, 0, value);
      else if (op === 'remove') at.splice(index, 1);
      else if (op === 'replace') at[index] = value;
    } else if (op === 'remove') delete (at as Json)[last];
    else if (op !== 'test') (at as Json)[last] = value;
    else if (JSON.stringify((at as Json)[last]) !== JSON.stringify(value)) throw new Error(`test failed: ${path}`);
  }
  return out;
}

type NamedObject = Json & { name: string };

function isObject(value: unknown): value is Json {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function isNamedList(value: unknown): value is NamedObject[] {
  return (
    Array.isArray(value) &&
    value.length > 0 &&
    value.every((element) => isObject(element) && typeof element.name === 'string')
  );
}
