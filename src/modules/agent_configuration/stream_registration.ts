import type { AgentInfo } from '../../auth/agent_authenticator.ts';
import type { AgentMeta } from '../../gen/gitlab/agent/entity/entity_pb.ts';
import { Hint } from '../../observability/hints.ts';
import type { Log } from '../../observability/log.ts';
import { errorText } from '../../runtime/app_error.ts';
import type { Clock } from '../../runtime/clock.ts';
import type { Random } from '../../runtime/random.ts';
import type { AgentConnection, AgentDirectory } from '../../store/agent_directory.ts';

export interface RegistrationDeps {
  readonly directory: AgentDirectory;
  /** How long a registration counts. */
  readonly ttlMs: number;
  readonly clock: Clock;
  readonly random: Random;
}

/**
 * Agents before 16.7 do not register: they are there as long as they ask for their configuration. Streams ask for this to be
 * renewed with each round; those are rarer than a registration lives, so it gets the time of several.
 */
export class StreamRegistration {
  readonly #deps: RegistrationDeps;
  readonly #pollPeriodMs: number;
  readonly #agentMeta: AgentMeta | undefined;
  readonly #connectionId: bigint;
  readonly #connectedAtMs: number;
  #registered: { readonly connection: AgentConnection; readonly log: Log } | undefined;
  #over = false;

  constructor(deps: RegistrationDeps, pollPeriodMs: number, agentMeta: AgentMeta | undefined) {
    this.#deps = deps;
    this.#pollPeriodMs = pollPeriodMs;
    this.#agentMeta = agentMeta;
    // 63 bits: the wire has it as a signed number.
    this.#connectionId = deps.random.bytes(8).readBigUInt64BE() >> 1n;
    this.#connectedAtMs = deps.clock.wallMs();
  }

  /** Failures are logged, and of no concern to the stream. */
  async renew(agent: AgentInfo, log: Log): Promise<void> {
    const { directory, ttlMs } = this.#deps;
    const connection = { agentId: agent.id, projectId: agent.projectId, connectionId: this.#connectionId };
    try {
      const entry = { ...connection, agentMeta: this.#agentMeta, connectedAtMs: this.#connectedAtMs };
      await directory.register(entry, Math.max(ttlMs, 2 * this.#pollPeriodMs));
      this.#registered = { connection, log };
      if (this.#over) this.end();
    } catch (error) {
      log.error('Failed to register agent', { error: errorText(error), hint: Hint.store });
    }
  }

  /** The stream is over. */
  end(): void {
    this.#over = true;
    if (this.#registered === undefined) return;
    const { connection, log } = this.#registered;
    this.#registered = undefined;
    this.#deps.directory.unregister(connection).catch((error: unknown) => {
      log.error('Failed to unregister agent', { error: errorText(error), hint: Hint.store });
    });
  }
}
