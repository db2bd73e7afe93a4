import { type DescField, type DescMessage, type JsonObject, type JsonValue, ScalarType } from '@bufbuild/protobuf';
import type { MapTree, ScalarTree, Tree } from '../../config/yaml/tree.ts';
import { ConfigurationError } from './configuration_error.ts';
import { type JsonText, scalarText } from './json_text.ts';

/** A key that no release of the schema we know has. */
export interface UnknownKey {
  /** Like `ci_access.projects[0].name`. */
  readonly path: string;
  readonly line: number;
}

/** A document as a message's JSON. */
export interface ReadMessage {
  /** What the schema knows, under the schema's names. */
  readonly known: JsonObject;
  /** All of it, for readers who may know more. */
  readonly all: JsonObject;
  readonly unknownKeys: readonly UnknownKey[];
}

/**
 * Reads a document as protobuf's JSON is read, in upstream's words where a value has the wrong type; but keys that the schema
 * does not know are set apart (docs/protocol/agent_configuration.md).
 * @throws ConfigurationError
 */
export function readMessage(desc: DescMessage, tree: Tree, json: JsonText): ReadMessage {
  const reader = new Reader(json);
  const { known, all } = reader.message(desc, tree, '');
  return { known, all, unknownKeys: reader.unknownKeys };
}

interface Read<T extends JsonValue> {
  readonly known: T;
  readonly all: T;
}

class Reader {
  readonly unknownKeys: UnknownKey[] = [];
  readonly #json: JsonText;

  constructor(json: JsonText) {
    this.#json = json;
  }

  message(desc: DescMessage, tree: Tree, path: string): Read<JsonObject> {
    if (tree.kind !== 'map') throw this.#unexpectedToken(tree);
    const known: JsonObject = {};
    const all: JsonObject = {};
    const oneofs = new Map<string, string>();
    for (const [key, { keyPosition, value }] of tree.entries) {
      const field = desc.fields.find((candidate) => candidate.name === key || candidate.jsonName === key);
      const keyPath = path === '' ? key : `${path}.${key}`;
      if (field === undefined) {
        this.unknownKeys.push({ path: keyPath, line: keyPosition.line });
        all[key] = plain(value);
      } else if (value.kind !== 'scalar' || value.value !== null) {
        this.#checkOneof(field, oneofs, key, tree);
        const read = this.#field(field, value, keyPath);
        known[field.name] = read.known;
        all[field.name] = read.all;
      }
    }
    return { known, all };
  }

  #checkOneof({ oneof }: DescField, seen: Map<string, string>, key: string, tree: MapTree): void {
    if (oneof === undefined) return;
    if (seen.has(oneof.name)) {
      const name = `${oneof.parent.typeName}.${oneof.name}`;
      throw this.#error(tree, `error parsing "${key}", oneof ${name} is already set`);
    }
    seen.set(oneof.name, key);
  }

  #field(field: DescField, tree: Tree, path: string): Read<JsonValue> {
    if (field.fieldKind !== 'list') return this.#value(field, tree, path);
    if (tree.kind !== 'list') throw this.#unexpectedToken(tree);
    const items = tree.items.map((item, i) => this.#value(field, item, `${path}[${i}]`));
    return { known: items.map((item) => item.known), all: items.map((item) => item.all) };
  }

  #value(field: DescField, tree: Tree, path: string): Read<JsonValue> {
    const message = field.message;
    if (message !== undefined && message.typeName !== 'google.protobuf.Duration') {
      return this.message(message, tree, path);
    }
    if (tree.kind !== 'scalar') throw this.#unexpectedToken(tree);
    const value = this.#scalar(field, tree);
    return { known: value, all: value };
  }

  #scalar(field: DescField, tree: ScalarTree): JsonValue {
    const { value } = tree;
    if (field.message !== undefined) {
      if (typeof value !== 'string') throw this.#unexpectedToken(tree);
      if (!/^-?\d{1,12}(\.\d{0,9})?s$/.test(value)) {
        throw this.#error(tree, `invalid google.protobuf.Duration value ${JSON.stringify(value)}`);
      }
      return value;
    }
    if (field.enum !== undefined) {
      if (typeof value === 'string' && field.enum.values.some(({ name }) => name === value)) return value;
      if (typeof value === 'bigint' && BigInt.asIntN(32, value) === value) return Number(value);
      throw this.#invalid(tree, 'enum');
    }
    // The schema has texts and switches besides.
    if (field.scalar === ScalarType.BOOL) {
      if (typeof value === 'boolean') return value;
      throw this.#invalid(tree, 'bool');
    }
    if (typeof value === 'string') return value;
    throw this.#invalid(tree, 'string');
  }

  #invalid(tree: ScalarTree, type: string): ConfigurationError {
    return this.#error(tree, `invalid value for ${type} type: ${scalarText(tree)}`);
  }

  #unexpectedToken(tree: Tree): ConfigurationError {
    const token = tree.kind === 'scalar' ? scalarText(tree) : tree.kind === 'map' ? '{' : '[';
    return new ConfigurationError(
      `failed to parse agent configuration: protojson.Unmarshal: proto: syntax error (line 1:${this.#column(tree)}): unexpected token ${token}`,
      tree.position.line,
    );
  }

  #error(tree: Tree, problem: string): ConfigurationError {
    return new ConfigurationError(
      `failed to parse agent configuration: protojson.Unmarshal: proto: (line 1:${this.#column(tree)}): ${problem}`,
      tree.position.line,
    );
  }

  #column(tree: Tree): number {
    return this.#json.columns.get(tree) ?? 1;
  }
}

/** Any value as JSON. */
function plain(tree: Tree): JsonValue {
  if (tree.kind === 'list') return tree.items.map(plain);
  if (tree.kind === 'map') {
    return Object.fromEntries([...tree.entries].map(([key, { value }]) => [key, plain(value)]));
  }
  return JSON.parse(scalarText(tree)) as JsonValue;
}
