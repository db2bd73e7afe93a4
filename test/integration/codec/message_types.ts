import type { DescMessage } from '@bufbuild/protobuf';
import { createRegistry } from '@bufbuild/protobuf';
import { file_google_protobuf_empty } from '@bufbuild/protobuf/wkt';
import { file_gitaly_gitaly } from '../../../src/gen/gitaly/gitaly_pb.ts';
import { file_gitlab_agent_agent_configuration_rpc_agent_configuration } from '../../../src/gen/gitlab/agent/agent_configuration/rpc/agent_configuration_pb.ts';
import { file_gitlab_agent_agent_registrar_rpc_agent_registrar } from '../../../src/gen/gitlab/agent/agent_registrar/rpc/agent_registrar_pb.ts';
import { file_gitlab_agent_agent_tracker_rpc_agent_tracker } from '../../../src/gen/gitlab/agent/agent_tracker/rpc/agent_tracker_pb.ts';
import { file_gitlab_agent_configuration_project_rpc_configuration_project } from '../../../src/gen/gitlab/agent/configuration_project/rpc/configuration_project_pb.ts';
import { file_gitlab_agent_flux_rpc_flux } from '../../../src/gen/gitlab/agent/flux/rpc/flux_pb.ts';
import { file_gitlab_agent_gitlab_access_rpc_gitlab_access } from '../../../src/gen/gitlab/agent/gitlab_access/rpc/gitlab_access_pb.ts';
import { file_gitlab_agent_gitops_rpc_gitops } from '../../../src/gen/gitlab/agent/gitops/rpc/gitops_pb.ts';
import { file_gitlab_agent_grpctool_grpctool } from '../../../src/gen/gitlab/agent/grpctool/grpctool_pb.ts';
import { file_gitlab_agent_kas_kas } from '../../../src/gen/gitlab/agent/kas/kas_pb.ts';
import { file_gitlab_agent_kubernetes_api_rpc_kubernetes_api } from '../../../src/gen/gitlab/agent/kubernetes_api/rpc/kubernetes_api_pb.ts';
import { file_gitlab_agent_notifications_rpc_notifications } from '../../../src/gen/gitlab/agent/notifications/rpc/notifications_pb.ts';
import { file_gitlab_agent_reverse_tunnel_rpc_reverse_tunnel } from '../../../src/gen/gitlab/agent/reverse_tunnel/rpc/reverse_tunnel_pb.ts';

const registry = createRegistry(
  file_google_protobuf_empty,
  file_gitaly_gitaly,
  file_gitlab_agent_agent_configuration_rpc_agent_configuration,
  file_gitlab_agent_agent_registrar_rpc_agent_registrar,
  file_gitlab_agent_agent_tracker_rpc_agent_tracker,
  file_gitlab_agent_configuration_project_rpc_configuration_project,
  file_gitlab_agent_flux_rpc_flux,
  file_gitlab_agent_gitlab_access_rpc_gitlab_access,
  file_gitlab_agent_gitops_rpc_gitops,
  file_gitlab_agent_grpctool_grpctool,
  file_gitlab_agent_kas_kas,
  file_gitlab_agent_kubernetes_api_rpc_kubernetes_api,
  file_gitlab_agent_notifications_rpc_notifications,
  file_gitlab_agent_reverse_tunnel_rpc_reverse_tunnel,
);

/** The vectors name messages without their package, which is unique but for HttpRequest and HttpResponse. */
const packages = [
  'google.protobuf',
  'gitaly',
  'gitlab.agent.grpctool',
  'gitlab.agent.kas',
  'gitlab.agent.reverse_tunnel.rpc',
  'gitlab.agent.agent_configuration.rpc',
  'gitlab.agent.agent_registrar.rpc',
  'gitlab.agent.agent_tracker.rpc',
  'gitlab.agent.configuration_project.rpc',
  'gitlab.agent.flux.rpc',
  'gitlab.agent.gitops.rpc',
  'gitlab.agent.notifications.rpc',
];

/** The message that a vector calls `name`. */
export function messageType(name: string): DescMessage {
  for (const prefix of packages) {
    const found = registry.getMessage(`${prefix}.${name}`);
    if (found) return found;
  }
  throw new Error(`no generated message ${name}`);
}

/** The message in a google.protobuf.Any, or undefined when it is not one of ours. */
export function messageTypeOfUrl(typeUrl: string): DescMessage | undefined {
  return registry.getMessage(typeUrl.slice(typeUrl.lastIndexOf('/') + 1));
}
