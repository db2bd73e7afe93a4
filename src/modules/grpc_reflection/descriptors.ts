import type { AnyDesc, DescFile, DescService } from '@bufbuild/protobuf';
import { nestedTypes } from '@bufbuild/protobuf/reflect';

/** The files that describe services, with what they import. */
export class Descriptors {
  readonly #files = new Map<string, DescFile>();
  readonly #symbols = new Map<string, DescFile>();

  constructor(services: readonly DescService[]) {
    for (const { file } of services) this.#add(file);
  }

  /** @param name as other files import it: `gitlab/agent/event/event.proto` */
  fileByName(name: string): DescFile | undefined {
    return this.#files.get(name);
  }

  /** @param symbol full name of a service, a method, a message, a field, a oneof, an enum or a value of one */
  fileOf(symbol: string): DescFile | undefined {
    return this.#symbols.get(symbol);
  }

  /** The file and all that it needs, each once, the file first. */
  closure(file: DescFile): DescFile[] {
    const closure = new Set([file]);
    for (const one of closure) for (const dependency of one.dependencies) closure.add(dependency);
    return [...closure];
  }

  #add(file: DescFile): void {
    const name = `${file.name}.proto`;
    if (this.#files.has(name)) return;
    this.#files.set(name, file);
    for (const desc of nestedTypes(file)) for (const symbol of symbolsOf(desc)) this.#symbols.set(symbol, file);
    for (const dependency of file.dependencies) this.#add(dependency);
  }
}

function symbolsOf(desc: AnyDesc): string[] {
  switch (desc.kind) {
    case 'message':
      return [desc.typeName, ...[...desc.fields, ...desc.oneofs].map(({ name }) => `${desc.typeName}.${name}`)];
    case 'enum': {
      // Values are the siblings of their enumeration.
      const scope = desc.typeName.slice(0, desc.typeName.length - desc.name.length);
      return [desc.typeName, ...desc.values.map(({ name }) => scope + name)];
    }
    case 'service':
      return [desc.typeName, ...desc.methods.map(({ name }) => `${desc.typeName}.${name}`)];
    case 'extension':
      return [desc.typeName];
    default:
      return [];
  }
}
