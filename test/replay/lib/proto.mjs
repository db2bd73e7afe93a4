// Just enough protobuf for the messages on KAS' interfaces: a schema in words, a decoder and an encoder.
// decode() gives the `decoded` form that test/vectors/README.md describes; encode() takes it back.

const SCHEMA = {
  Empty: '',
  Values: '1 value r string',
  HttpReq: '1 method string; 2 header map:Values; 3 url_path string; 4 query map:Values',
  HttpResp: '1 status_code int; 2 status string; 3 header map:Values',
  HttpRequest: '1 header HttpRequest.Header; 2 data Data; 3 trailer Empty; 4 upgradeData Data',
  'HttpRequest.Header': '1 request HttpReq; 2 extra Any; 3 content_length opt int',
  HttpResponse: '1 header HttpResponse.Header; 2 data Data; 3 trailer Empty; 4 upgradeData Data',
  'HttpResponse.Header': '1 response HttpResp',
  Data: '1 data bytes',
  Any: '1 type_url string; 2 value bytes',
  RpcStatus: '1 code int; 2 message string; 3 details r Any',
  ConnectRequest: '1 descriptor Descriptor; 2 header Meta; 3 message Data; 4 trailer Meta; 5 error ErrorS',
  ConnectResponse: '1 request_info RequestInfo; 2 message Data; 3 close_send Empty',
  Descriptor: '1 agent_descriptor AgentDescriptor',
  AgentDescriptor: '1 services r Service',
  Service: '1 name string; 2 methods r Method',
  Method: '1 name string',
  Meta: '1 meta map:Values',
  ErrorS: '1 status RpcStatus',
  RequestInfo: '1 method_name string; 2 meta map:Values',
  GatewayKasResponse: '1 tunnel_ready Empty; 2 header Meta; 3 message Data; 4 trailer Meta; 5 error ErrorS; 6 no_tunnel Empty',
  HeaderExtraK: '1 imp_config ImpersonationConfig',
  ImpersonationConfig: '1 username string; 2 groups r string; 3 uid string; 4 extra r KV',
  KV: '1 key string; 2 val r string',
  HeaderExtraG: '1 module_name string',
  ConfigurationRequest: '1 commit_id string; 2 agent_meta AgentMeta; 3 skip_register bool',
  AgentMeta: '1 version string; 2 commit_id string; 3 pod_namespace string; 4 pod_name string; 5 kubernetes_version KubernetesVersion',
  KubernetesVersion: '1 major string; 2 minor string; 3 git_version string; 4 platform string',
  ConfigurationResponse: '1 configuration AgentConfiguration; 2 commit_id string',
  AgentConfiguration: '1 gitops GitopsCF; 2 observability ObservabilityCF; 4 agent_id int; 5 project_id int; 6 ci_access CiAccessCF; 7 container_scanning ContainerScanningCF; 8 project_path string; 9 remote_development RemoteDevelopmentCF; 10 flux FluxCF; 11 gitlab_external_url string',
  GitopsCF: '1 manifest_projects r ManifestProjectCF',
  ManifestProjectCF: '1 id opt string; 4 default_namespace string; 5 paths r PathCF; 6 reconcile_timeout Duration; 7 dry_run_strategy string; 8 prune bool; 9 prune_timeout Duration; 10 prune_propagation_policy string; 11 inventory_policy string; 12 ref GitRefCF',
  PathCF: '1 glob string; 2 file string',
  GitRefCF: '1 tag string; 2 branch string; 3 commit string',
  Duration: '1 seconds int; 2 nanos int',
  ObservabilityCF: '1 logging LoggingCF; 2 google_profiler GoogleProfilerCF',
  LoggingCF: '1 level int; 2 grpc_level opt int',
  GoogleProfilerCF: '1 enabled bool; 2 project_id string; 3 credentials_file string; 4 debug_logging bool',
  CiAccessCF: '1 projects r CiP; 2 groups r CiP',
  CiP: '1 id string; 2 default_namespace string; 3 access_as CiAs; 4 environments r string',
  CiAs: '1 agent Empty; 2 impersonate CiImp; 3 ci_job Empty',
  CiImp: '1 username string; 2 groups r string; 3 uid string; 4 extra r KV',
  ContainerScanningCF: '1 vulnerability_report VulnR; 2 cadence string; 3 resource_requirements ResR',
  VulnR: '1 namespaces r string; 2 filters r CsFilter',
  CsFilter: '1 namespaces r string; 2 resources r string; 3 containers r string; 4 kinds r string',
  ResR: '1 limits Res; 2 requests Res',
  Res: '1 cpu string; 2 memory string',
  RemoteDevelopmentCF: '1 enabled bool; 2 dns_zone string; 3 partial_sync_interval Duration; 4 full_sync_interval Duration; 5 gitlab_workspaces_proxy Ns; 6 network_policy En',
  Ns: '1 namespace string',
  En: '1 enabled opt bool',
  FluxCF: '1 webhook_receiver_url string',
  RegisterRequest: '1 agent_meta AgentMeta; 2 pod_id int',
  ConnectedAgentInfo: '1 agent_meta AgentMeta; 2 connected_at Timestamp; 3 connection_id int; 4 agent_id int; 5 project_id int',
  Timestamp: '1 seconds int; 2 nanos int',
  GetConnectedAgentsRequest: '1 project_id int; 2 agent_id int',
  GetConnectedAgentsResponse: '1 agents r ConnectedAgentInfo',
  GitalyRepository: '2 storage_name string; 3 relative_path string; 4 git_object_directory string; 5 git_alternate_object_directories r string; 6 gl_repository string; 8 gl_project_path string',
  GitalyInfo: '1 address string; 2 token string; 3 features map:string',
  ListAgentConfigFilesRequest: '1 repository GitalyRepository; 2 gitaly_info GitalyInfo; 3 default_branch string',
  ListAgentConfigFilesResponse: '1 config_files r ACF',
  ACF: '1 name string; 2 agent_name string',
  GitPushEventRequest: '1 event GitPushEvent',
  GitPushEvent: '1 project EvProject',
  EvProject: '1 id int; 2 full_path string',
  ReconcileProjectsRequest: '1 project r RProject',
  ReconcileProjectsResponse: '1 project RProject',
  RProject: '1 id string',
  ObjectsToSynchronizeRequest: '1 project_id string; 2 commit_id string; 3 paths r PathCF; 4 ref GitRefCF',
  ObjectsToSynchronizeResponse: '1 header OHeader; 2 object OObject; 3 trailer Empty',
  OHeader: '1 commit_id string; 2 project_id int',
  OObject: '1 source string; 2 data bytes',
  ExpiringValue: '1 expires_at int; 2 value bytes',
  ClientError: '1 status_code int; 2 path string; 3 reason string',
  InfoRefsRequest: '1 repository GitalyRepository; 2 git_config_options r string; 3 git_protocol string',
  InfoRefsResponse: '1 data bytes',
  TreeEntryRequest: '1 repository GitalyRepository; 2 revision bytes; 3 path bytes; 4 limit int; 5 max_size int',
  TreeEntryResponse: '1 type int; 2 oid string; 3 size int; 4 mode int; 5 data bytes',
  GetTreeEntriesRequest: '1 repository GitalyRepository; 2 revision bytes; 3 path bytes; 4 recursive bool; 5 sort int; 6 pagination_params Pag; 7 skip_flat_paths bool',
  Pag: '1 page_token string; 2 limit int',
  GetTreeEntriesResponse: '1 entries r TEntry; 2 pagination_cursor PagC',
  TEntry: '1 oid string; 3 path bytes; 4 type int; 5 mode int; 6 commit_oid string; 7 flat_path bytes',
  PagC: '1 next_cursor string',
  GetTreeEntriesError: '1 resolve_tree RRE; 2 path PathE',
  RRE: '1 revision bytes',
  PathE: '1 path bytes; 2 error_type int',
};

const ANY = {
  'type.googleapis.com/gitlab.agent.kubernetes_api.rpc.HeaderExtra': 'HeaderExtraK',
  'type.googleapis.com/gitlab.agent.gitlab_access.rpc.HeaderExtra': 'HeaderExtraG',
  'type.googleapis.com/gitlab.agent.event.GitPushEvent': 'GitPushEvent',
  'type.googleapis.com/gitlab.agent.gitlab.ClientError': 'ClientError',
};

const A = 'gitlab.agent.';
/** path -> [request type, response type, type of the message inside the wrapper that the server sends] */
export const METHODS = {
  [`/${A}agent_configuration.rpc.AgentConfiguration/GetConfiguration`]: ['ConfigurationRequest', 'ConfigurationResponse'],
  [`/${A}agent_registrar.rpc.AgentRegistrar/Register`]: ['RegisterRequest', 'Empty'],
  [`/${A}reverse_tunnel.rpc.ReverseTunnel/Connect`]: ['ConnectRequest', 'ConnectResponse', 'HttpRequest'],
  [`/${A}kubernetes_api.rpc.KubernetesApi/MakeRequest`]: ['HttpRequest', 'GatewayKasResponse', 'HttpResponse'],
  [`/${A}gitlab_access.rpc.GitlabAccess/MakeRequest`]: ['HttpRequest', 'HttpResponse'],
  [`/${A}flux.rpc.GitLabFlux/ReconcileProjects`]: ['ReconcileProjectsRequest', 'ReconcileProjectsResponse'],
  [`/${A}gitops.rpc.Gitops/GetObjectsToSynchronize`]: ['ObjectsToSynchronizeRequest', 'ObjectsToSynchronizeResponse'],
  [`/${A}agent_tracker.rpc.AgentTracker/GetConnectedAgents`]: ['GetConnectedAgentsRequest', 'GetConnectedAgentsResponse'],
  [`/${A}configuration_project.rpc.ConfigurationProject/ListAgentConfigFiles`]: ['ListAgentConfigFilesRequest', 'ListAgentConfigFilesResponse'],
  [`/${A}notifications.rpc.Notifications/GitPushEvent`]: ['GitPushEventRequest', 'Empty'],
  '/gitaly.SmartHTTPService/InfoRefsUploadPack': ['InfoRefsRequest', 'InfoRefsResponse'],
  '/gitaly.CommitService/TreeEntry': ['TreeEntryRequest', 'TreeEntryResponse'],
  '/gitaly.CommitService/GetTreeEntries': ['GetTreeEntriesRequest', 'GetTreeEntriesResponse'],
};

const types = new Map();
for (const [name, text] of Object.entries(SCHEMA)) {
  const fields = new Map();
  for (const part of text.split(';').map((s) => s.trim()).filter(Boolean)) {
    const [number, field, ...rest] = part.split(' ');
    const repeated = rest[0] === 'r';
    const type = rest.filter((w) => w !== 'r' && w !== 'opt').join(' ');
    fields.set(Number(number), { field, type, repeated });
  }
  types.set(name, fields);
}

function* rawFields(buf) {
  let i = 0;
  const varint = () => {
    let v = 0n;
    for (let s = 0n; ; s += 7n) {
      if (i >= buf.length) throw new Error('truncated varint');
      const c = buf[i++];
      v |= BigInt(c & 127) << s;
      if (c < 128) return v;
    }
  };
  const take = (n) => {
    if (i + n > buf.length) throw new Error('truncated field');
    return buf.subarray(i, (i += n));
  };
  while (i < buf.length) {
    const tag = Number(varint());
    const wire = tag & 7;
    if (![0, 1, 2, 5].includes(wire)) throw new Error(`wire type ${wire}`);
    yield { number: tag >> 3, value: wire === 0 ? varint() : take(wire === 1 ? 8 : wire === 5 ? 4 : Number(varint())) };
  }
}

const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });
function text(bytes) {
  try {
    return utf8.decode(bytes);
  } catch {
    return undefined;
  }
}

function show(bytes) {
  const t = text(bytes);
  if (t !== undefined && !/[\u0000-\u0008\u000b\u000c\u000e-\u001f\u007f-\u009f]/.test(t))
    return t.length <= 2000 ? t : { bytes: bytes.length, starts: t.slice(0, 64) };
  const hex = bytes.toString('hex');
  return bytes.length < 600 ? { hex } : { bytes: bytes.length, starts_hex: hex.slice(0, 64) };
}

function integer(v) {
  const signed = BigInt.asIntN(64, v);
  return signed < 2n ** 53n && signed > -(2n ** 53n) ? Number(signed) : String(signed);
}

/** inner: the message type that Data.data carries, if any */
export function decode(type, buf, inner) {
  const out = {};
  const fields = types.get(type);
  for (const { number, value } of rawFields(buf)) {
    const f = fields.get(number);
    if (!f) {
      out[`UNKNOWN_${number}`] = typeof value === 'bigint' ? integer(value) : show(value);
      continue;
    }
    if (f.type.startsWith('map:')) {
      let key = '';
      let val = Buffer.alloc(0);
      for (const e of rawFields(value)) e.number === 1 ? (key = text(e.value)) : (val = e.value);
      const vt = f.type.slice(4);
      (out[f.field] ??= {})[key] = vt === 'string' ? text(val) : (decode(vt, val).value ?? []);
      continue;
    }
    const v = decodeValue(f.type, value, type, inner);
    if (f.repeated) (out[f.field] ??= []).push(v);
    else out[f.field] = v;
  }
  return out;
}

function decodeValue(type, value, owner, inner) {
  switch (type) {
    case 'int':
      return integer(value);
    case 'bool':
      return value !== 0n;
    case 'string':
      return text(value) ?? { hex: value.toString('hex') };
    case 'bytes':
      return inner && owner === 'Data' ? { len: value.length, as: inner, decoded: decode(inner, value) } : show(value);
    case 'Any': {
      const any = { type_url: '', value: Buffer.alloc(0) };
      for (const e of rawFields(value)) e.number === 1 ? (any.type_url = text(e.value)) : (any.value = e.value);
      const t = ANY[any.type_url];
      return { type_url: any.type_url, value: t ? decode(t, any.value) : show(any.value) };
    }
    default:
      return decode(type, value, inner);
  }
}

function varintBytes(n) {
  let v = BigInt.asUintN(64, BigInt(n));
  const out = [];
  for (; v > 127n; v >>= 7n) out.push(Number(v & 127n) | 128);
  out.push(Number(v));
  return Buffer.from(out);
}
const delimited = (number, bytes) => Buffer.concat([varintBytes((number << 3) | 2), varintBytes(bytes.length), bytes]);

export function encode(type, o) {
  const out = [];
  for (const [number, f] of [...types.get(type)].sort((a, b) => a[0] - b[0])) {
    if (!(f.field in o)) continue;
    if (f.type.startsWith('map:')) {
      for (const [k, v] of Object.entries(o[f.field])) {
        const val = f.type === 'map:string' ? Buffer.from(v) : encode(f.type.slice(4), { value: v });
        out.push(delimited(number, Buffer.concat([delimited(1, Buffer.from(k)), delimited(2, val)])));
      }
      continue;
    }
    for (const v of f.repeated ? o[f.field] : [o[f.field]]) {
      if (f.type === 'int' || f.type === 'bool') out.push(varintBytes(number << 3), varintBytes(Number.isInteger(v) || typeof v === 'string' ? v : Number(v)));
      else out.push(delimited(number, encodeValue(f.type, v)));
    }
  }
  return Buffer.concat(out);
}

function encodeValue(type, v) {
  if (Buffer.isBuffer(v)) return v;
  if (typeof v === 'string') return Buffer.from(v);
  if (type === 'string' || type === 'bytes') {
    if (v.as) return encode(v.as, v.decoded);
    if (v.hex !== undefined) return Buffer.from(v.hex, 'hex');
    throw new Error('shortened value cannot be encoded');
  }
  if (type === 'Any' && v.value && typeof v.value === 'object' && ANY[v.type_url])
    return encode('Any', { type_url: v.type_url, value: encode(ANY[v.type_url], v.value) });
  return encode(type, v);
}
