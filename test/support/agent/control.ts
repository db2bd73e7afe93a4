import { create, fromBinary, toBinary } from '@bufbuild/protobuf';
import {
  ConfigurationRequestSchema,
  type ConfigurationResponse,
  ConfigurationResponseSchema,
} from '../../../src/gen/gitlab/agent/agent_configuration/rpc/agent_configuration_pb.ts';
import { RegisterRequestSchema } from '../../../src/gen/gitlab/agent/agent_registrar/rpc/agent_registrar_pb.ts';
import type { Random } from '../../../src/runtime/random.ts';
import type { Scope } from '../../../src/runtime/scope.ts';
import { StatusCode, statusCodeName } from '../../../src/runtime/status_code.ts';
import { Backoff, TUNNEL_BACKOFF } from './backoff.ts';
import type { KubernetesVersion } from './cluster_version.ts';
import type { Connection } from './connection.ts';
import { gzipFrame } from './grpc_frames.ts';
import { Rpc, type RpcStatus } from './rpc.ts';

const REGISTER_INTERVAL_MS = 5 * 60_000;
const SERVICE = '/gitlab.agent';

interface AgentIdentity {
  readonly version: string;
  readonly commitId: string;
  readonly podNamespace: string;
  readonly podName: string;
}

export interface ControlDeps {
  readonly scope: Scope;
  readonly connection: Connection;
  readonly headers: Record<string, string>;
  readonly random: Random;
  readonly meta: AgentIdentity;
  readonly podId: bigint;
  /** What the cluster is; asked once for each Register. */
  readonly kubernetesVersion: () => Promise<KubernetesVersion>;
  readonly onConfiguration: (response: ConfigurationResponse) => void;
  readonly log: (line: string) => void;
}

/** Registers the pod at once and every five minutes, and keeps a GetConfiguration stream open. */
export class Control {
  readonly #deps: ControlDeps;
  readonly #registerBackoff: Backoff;
  readonly #configurationBackoff: Backoff;
  #commitId = '';
  /** Successful Register calls. */
  registrations = 0;

  constructor(deps: ControlDeps) {
    this.#deps = deps;
    this.#registerBackoff = new Backoff(TUNNEL_BACKOFF, deps.scope.clock, deps.random);
    this.#configurationBackoff = new Backoff(TUNNEL_BACKOFF, deps.scope.clock, deps.random);
    void this.#registerForever();
    this.#configure();
  }

  /** Tells kas that this pod goes away. Failure is not an error: older servers do not know the method. */
  async unregister(): Promise<void> {
    if (this.registrations > 0)
      await this.#unary(`${SERVICE}.agent_registrar.rpc.AgentRegistrar/Unregister`, await this.#registration());
  }

  async #registerForever(): Promise<void> {
    const { scope, log } = this.#deps;
    while (!scope.closed) {
      const status = await this.#unary(
        `${SERVICE}.agent_registrar.rpc.AgentRegistrar/Register`,
        await this.#registration(),
      );
      if (scope.closed) return;
      if (status.code === StatusCode.OK) this.registrations++;
      else
        log(
          `Failed to register agent pod. Please make sure the agent version matches the server version: ${describe(status)}`,
        );
      await scope.sleep(status.code === StatusCode.OK ? REGISTER_INTERVAL_MS : this.#registerBackoff.nextMs());
    }
  }

  async #registration(): Promise<Buffer> {
    const kubernetesVersion = await this.#deps.kubernetesVersion();
    const agentMeta = { ...this.#deps.meta, kubernetesVersion };
    return gzipFrame(
      toBinary(RegisterRequestSchema, create(RegisterRequestSchema, { agentMeta, podId: this.#deps.podId })),
    );
  }

  async #unary(path: string, request: Buffer): Promise<RpcStatus> {
    const session = await this.#deps.connection.ready().catch(() => undefined);
    if (session === undefined || session.closed || session.destroyed)
      return { code: StatusCode.Unavailable, message: 'connection closed' };
    return new Promise((resolve) => {
      new Rpc(session, { ...this.#deps.headers, ':path': path }, { onMessage: () => {}, onEnd: resolve }).end(request);
    });
  }

  #configure(): void {
    const { scope, connection, headers, meta, log, onConfiguration } = this.#deps;
    connection.ready().then(
      (session) => {
        if (session.closed || session.destroyed) {
          setImmediate(() => this.#configure());
          return;
        }
        const request = create(ConfigurationRequestSchema, {
          commitId: this.#commitId,
          agentMeta: { ...meta, kubernetesVersion: {} },
          skipRegister: true,
        });
        const rpc = new Rpc(
          session,
          { ...headers, ':path': `${SERVICE}.agent_configuration.rpc.AgentConfiguration/GetConfiguration` },
          {
            onMessage: (message) => {
              const response = fromBinary(ConfigurationResponseSchema, message);
              this.#commitId = response.commitId;
              onConfiguration(response);
            },
            onEnd: (status) => {
              if (scope.closed) return;
              if (status.code === StatusCode.OK) {
                setImmediate(() => this.#configure());
                return;
              }
              log(`GetConfiguration.Recv failed: ${describe(status)}`);
              scope.timeout(this.#configurationBackoff.nextMs(), () => this.#configure());
            },
          },
        );
        rpc.end(gzipFrame(toBinary(ConfigurationRequestSchema, request)));
      },
      () => {}, // closed
    );
  }
}

function describe(status: RpcStatus): string {
  return `rpc error: code = ${statusCodeName(status.code)} desc = ${status.message}`;
}
