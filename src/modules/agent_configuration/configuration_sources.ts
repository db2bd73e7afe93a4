import type { EventBus, Unsubscribe } from '../../store/event_bus.ts';
import { ConfigurationSource, type SourceDeps } from './configuration_source.ts';
import { RepositoryHeads } from './repository_heads.ts';

/** The sources in use, by agent, and which project's pushes concern them. */
export class ConfigurationSources {
  readonly #deps: SourceDeps;
  readonly #heads: RepositoryHeads;
  readonly #byAgent = new Map<bigint, ConfigurationSource>();
  readonly #byProject = new Map<string, Map<ConfigurationSource, number>>();

  constructor(deps: SourceDeps & { readonly events: Pick<EventBus, 'subscribe'> }) {
    this.#deps = deps;
    this.#heads = new RepositoryHeads(deps.gitaly);
    const unsubscribe: Unsubscribe = deps.events.subscribe(({ project }) => {
      if (project === undefined) return;
      for (const source of this.#byProject.get(project.fullPath)?.keys() ?? []) source.poke();
    });
    deps.scope.own({ close: unsubscribe });
  }

  /** The source of an agent's configuration, to be given back with `release` by everyone who has left it. */
  of(agentId: bigint): ConfigurationSource {
    let source = this.#byAgent.get(agentId);
    if (source === undefined) {
      source = new ConfigurationSource(this.#deps, this.#heads);
      this.#byAgent.set(agentId, source);
    }
    return source;
  }

  /** Forgets the source if nobody polls it any more. */
  release(agentId: bigint): void {
    if (this.#byAgent.get(agentId)?.idle) this.#byAgent.delete(agentId);
  }

  /** From now on pushes to the project poke the source, until the returned function is called. */
  watch(projectPath: string, source: ConfigurationSource): () => void {
    let sources = this.#byProject.get(projectPath);
    if (sources === undefined) {
      sources = new Map();
      this.#byProject.set(projectPath, sources);
    }
    const watched = sources;
    watched.set(source, (watched.get(source) ?? 0) + 1);
    return () => {
      const left = (watched.get(source) ?? 0) - 1;
      if (left > 0) watched.set(source, left);
      else watched.delete(source);
      if (watched.size === 0 && this.#byProject.get(projectPath) === watched) this.#byProject.delete(projectPath);
    };
  }
}
