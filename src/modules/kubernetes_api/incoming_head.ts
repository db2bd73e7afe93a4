import {
  addConnectionTokens,
  canonicalHeaderName,
  HeaderNameTable,
  HOP_BY_HOP_HEADERS,
  isToken,
} from '../../http_over_grpc/header_name.ts';
import { textFromBytes } from './text.ts';
import { type ValueLists, ValueListsBuilder } from './value_lists.ts';

const Role = {
  Forward: 0,
  Drop: 1,
  Connection: 2,
  Upgrade: 3,
  Authorization: 4,
  Cookie: 5,
  AgentId: 6,
  CsrfToken: 7,
  Origin: 8,
  Accept: 9,
  UserAgent: 10,
  RequestHeaders: 11,
  TransferEncoding: 12,
  ContentLength: 13,
  WebSocketProtocol: 14,
} as const;
type Role = (typeof Role)[keyof typeof Role];

const roles = new Map<string, Role>([
  ...HOP_BY_HOP_HEADERS.map((name): [string, Role] => [name, Role.Drop]),
  ['Host', Role.Drop],
  ['Connection', Role.Connection],
  ['Upgrade', Role.Upgrade],
  ['Authorization', Role.Authorization],
  ['Cookie', Role.Cookie],
  ['Gitlab-Agent-Id', Role.AgentId],
  ['X-Csrf-Token', Role.CsrfToken],
  ['Origin', Role.Origin],
  ['Accept', Role.Accept],
  ['User-Agent', Role.UserAgent],
  ['Access-Control-Request-Headers', Role.RequestHeaders],
  ['Transfer-Encoding', Role.TransferEncoding],
  ['Content-Length', Role.ContentLength],
  ['Sec-Websocket-Protocol', Role.WebSocketProtocol],
]);

interface RequestHeaderName {
  readonly canonical: string;
  readonly role: Role;
}

const names = new HeaderNameTable<RequestHeaderName>((name) => {
  const canonical = canonicalHeaderName(name);
  // Pseudo-headers of HTTP/2 begin with a colon. Anything else that is no token would be refused by every HTTP library
  // behind us; to let it through would only mean to trust all of them to agree.
  if (!isToken(name)) return { canonical, role: Role.Drop };
  return { canonical, role: roles.get(canonical) ?? Role.Forward };
});

/** Stands for "no such header" without an array of its own; never written to. */
const NONE: string[] = [];

/** What a request's header lines say: to us, and to the agent. Values meant for us are Latin-1 as Node gives them. */
export class IncomingHead {
  /** For the agent: canonical names, one value a line, hop-by-hop headers and credentials gone, `Via` added. */
  forwarded: ValueLists = [];
  /** A forwarded value is not UTF-8, which no protobuf string can carry. */
  invalidUtf8 = false;
  authorization: string[] = NONE;
  cookies: string[] = NONE;
  agentIds: string[] = NONE;
  csrfTokens: string[] = NONE;
  requestHeaders: string[] = NONE;
  origin: string | undefined = undefined;
  accept: string | undefined = undefined;
  userAgent: string | undefined = undefined;
  isUpgrade = false;
  offersWebSocketProtocols = false;
  /** Of HTTP/1: -1 chunked, 0 no body, otherwise the length. */
  bodyLength = 0;
}

/**
 * Reads the header lines once, for everything that the proxy wants of them.
 * @param rawHeaders names and values in turn, as in `IncomingMessage.rawHeaders`
 * @param via what this server adds to `Via`
 */
export function readIncomingHead(rawHeaders: readonly string[], via: string): IncomingHead {
  const head = new IncomingHead();
  const forwarded = new ValueListsBuilder();
  let named: Set<string> | undefined;
  let upgrades: string[] | undefined;
  for (let i = 0; i + 1 < rawHeaders.length; i += 2) {
    const name = names.get(rawHeaders[i]!);
    const value = rawHeaders[i + 1]!;
    switch (name.role) {
      case Role.Drop:
        continue;
      case Role.Connection:
        named = addConnectionTokens(value, named);
        continue;
      case Role.Upgrade:
        upgrades ??= [];
        upgrades.push(forwardable(value, head));
        continue;
      case Role.Authorization:
        head.authorization = append(head.authorization, value);
        continue;
      case Role.Cookie:
        head.cookies = append(head.cookies, value);
        continue;
      case Role.AgentId:
        head.agentIds = append(head.agentIds, value);
        continue;
      case Role.CsrfToken:
        head.csrfTokens = append(head.csrfTokens, value);
        continue;
      case Role.TransferEncoding:
        head.bodyLength = -1;
        continue;
      case Role.ContentLength:
        if (head.bodyLength !== -1) head.bodyLength = lengthOf(value);
        break;
      case Role.Origin:
        head.origin ??= value;
        break;
      case Role.Accept:
        head.accept ??= value;
        break;
      case Role.UserAgent:
        head.userAgent ??= value;
        break;
      case Role.RequestHeaders:
        head.requestHeaders = append(head.requestHeaders, value);
        break;
      case Role.WebSocketProtocol:
        head.offersWebSocketProtocols = true;
        break;
      default:
        break;
    }
    forwarded.add(name.canonical, forwardable(value, head));
  }
  head.forwarded = forwarded.lists;
  if (named !== undefined) head.forwarded = withoutNamed(forwarded.lists, named);
  if (upgrades !== undefined) {
    head.isUpgrade = true;
    head.forwarded.push(['Connection', ['upgrade']], ['Upgrade', upgrades]);
  }
  // After the cleaning, or a client could have our Via removed by naming it in Connection.
  addVia(head.forwarded, via);
  return head;
}

/** HTTP parsers let only numbers pass here; should one not, the body ends where it ends. */
function lengthOf(value: string): number {
  const length = Number(value);
  return Number.isSafeInteger(length) && length >= 0 ? length : -1;
}

function append(values: string[], value: string): string[] {
  if (values === NONE) return [value];
  values.push(value);
  return values;
}

function forwardable(value: string, head: IncomingHead): string {
  const text = textFromBytes(value);
  if (text !== undefined) return text;
  head.invalidUtf8 = true;
  return '';
}

function withoutNamed(lists: ValueLists, named: ReadonlySet<string>): ValueLists {
  return lists.filter(([name]) => !named.has(name.toLowerCase()));
}

function addVia(lists: ValueLists, via: string): void {
  for (const [name, values] of lists) {
    if (name === 'Via') {
      values.push(via);
      return;
    }
  }
  lists.push(['Via', [via]]);
}
