import { join } from 'node:path';
import {
  create,
  type DescMessage,
  fromBinary,
  type MessageInitShape,
  type MessageShape,
  toBinary,
} from '@bufbuild/protobuf';
import { anyPack } from '@bufbuild/protobuf/wkt';
import {
  GetTreeEntriesErrorSchema,
  GetTreeEntriesRequestSchema,
  GetTreeEntriesResponseSchema,
  InfoRefsRequestSchema,
  InfoRefsResponseSchema,
  type Repository,
  TreeEntry_EntryType,
  TreeEntryRequestSchema,
  TreeEntryResponse_ObjectType,
  TreeEntryResponseSchema,
} from '../../../src/gen/gitaly/gitaly_pb.ts';
import { StatusSchema } from '../../../src/gen/google/rpc/status_pb.ts';
import { StatusCode } from '../../../src/runtime/status_code.ts';
import { git } from './repository.ts';

/** How a call fails. */
export class CallStatus extends Error {
  readonly code: number;
  readonly details: Uint8Array | undefined;

  constructor(code: number, message: string, details?: Uint8Array) {
    super(message);
    this.code = code;
    this.details = details;
  }
}

/** Serialized request in, serialized answers out. */
export type PlayedMethod = (storage: string, request: Buffer) => Promise<Uint8Array[]>;

/** Smaller than Gitaly's own pieces, so that a packet line, a file or a name are cut somewhere. */
const PIECE = 50;

export const methods: ReadonlyMap<string, PlayedMethod> = new Map([
  ['/gitaly.SmartHTTPService/InfoRefsUploadPack', method(InfoRefsRequestSchema, InfoRefsResponseSchema, infoRefs)],
  ['/gitaly.CommitService/TreeEntry', method(TreeEntryRequestSchema, TreeEntryResponseSchema, treeEntry)],
  [
    '/gitaly.CommitService/GetTreeEntries',
    method(GetTreeEntriesRequestSchema, GetTreeEntriesResponseSchema, getTreeEntries),
  ],
]);

function method<I extends DescMessage, O extends DescMessage>(
  input: I,
  output: O,
  play: (storage: string, request: MessageShape<I>) => Promise<MessageInitShape<O>[]>,
): PlayedMethod {
  return async (storage, request) => {
    const answers = await play(storage, fromBinary(input, request));
    return answers.map((answer) => toBinary(output, create(output, answer)));
  };
}

async function infoRefs(storage: string, { repository }: { repository?: Repository | undefined }) {
  const folder = await folderOf(storage, repository);
  const refs = await git(folder, ['upload-pack', '--strict', '--http-backend-info-refs', '.']);
  const service = '# service=git-upload-pack\n';
  const header = `${(service.length + 4).toString(16).padStart(4, '0')}${service}0000`;
  return pieces(Buffer.concat([Buffer.from(header), refs])).map((data) => ({ data }));
}

async function treeEntry(
  storage: string,
  request: { repository?: Repository | undefined; revision: Uint8Array; path: Uint8Array; maxSize: bigint },
) {
  const folder = await folderOf(storage, request.repository);
  const revision = Buffer.from(request.revision).toString();
  const path = Buffer.from(request.path).toString();
  const listed = await git(folder, ['ls-tree', '-z', '--long', revision, '--', path]).catch(() => Buffer.alloc(0));
  const [, mode = '', type = '', oid = '', size = ''] = /^(\d+) (\w+) (\w+) +([\d-]+)\t/.exec(listed.toString()) ?? [];
  if (mode === '') throw new CallStatus(StatusCode.NotFound, 'tree entry not found');
  const head = { oid, mode: Number.parseInt(mode, 8) };
  if (type !== 'blob') return [{ ...head, type: TreeEntryResponse_ObjectType.TREE }];
  if (request.maxSize > 0n && BigInt(size) > request.maxSize) {
    const message = `object size (${size}) is bigger than the maximum allowed size (${request.maxSize})`;
    throw new CallStatus(StatusCode.FailedPrecondition, message);
  }
  const content = pieces(await git(folder, ['cat-file', 'blob', oid]));
  const first = { ...head, type: TreeEntryResponse_ObjectType.BLOB, size: BigInt(size) };
  return [{ ...first, data: content[0] ?? Buffer.alloc(0) }, ...content.slice(1).map((data) => ({ data }))];
}

async function getTreeEntries(
  storage: string,
  request: { repository?: Repository | undefined; revision: Uint8Array; path: Uint8Array; recursive: boolean },
) {
  const folder = await folderOf(storage, request.repository);
  const revision = Buffer.from(request.revision).toString();
  const asked = Buffer.from(request.path).toString();
  // The root.
  const prefix = asked === '.' ? '' : `${asked}/`;
  const commitOid = await git(folder, ['rev-parse', '--verify', '--quiet', `${revision}^{commit}`]).then(
    (out) => out.toString().trim(),
    () => undefined,
  );
  if (commitOid === undefined) throw unresolvable(revision);
  const flags = request.recursive ? ['-r', '-t'] : [];
  const listed = await git(folder, ['ls-tree', '-z', ...flags, commitOid, ...(prefix === '' ? [] : ['--', prefix])]);
  const entries = listed
    .toString()
    .split('\0')
    .flatMap((line) => {
      const [, mode = '', type, oid = '', name = ''] = /^(\d+) (\w+) (\w+)\t(.*)$/s.exec(line) ?? [];
      if (name === '' || name === asked || !name.startsWith(prefix)) return [];
      const entryType = type === 'blob' ? TreeEntry_EntryType.BLOB : TreeEntry_EntryType.TREE;
      return [{ oid, path: Buffer.from(name), type: entryType, mode: Number.parseInt(mode, 8), commitOid }];
    });
  if (entries.length === 0) throw unresolvable(revision);
  return entries.map((entry) => ({ entries: [entry] }));
}

function unresolvable(revision: string): CallStatus {
  const error = { case: 'resolveTree' as const, value: { revision: Buffer.from(revision) } };
  const detail = anyPack(GetTreeEntriesErrorSchema, create(GetTreeEntriesErrorSchema, { error }));
  const status = create(StatusSchema, {
    code: StatusCode.InvalidArgument,
    message: 'invalid revision or path',
    details: [detail],
  });
  return new CallStatus(StatusCode.InvalidArgument, 'invalid revision or path', toBinary(StatusSchema, status));
}

async function folderOf(storage: string, repository: Repository | undefined): Promise<string> {
  const folder = join(storage, repository?.relativePath ?? '');
  const found = await git(folder, ['rev-parse', '--git-dir']).then(
    () => true,
    () => false,
  );
  if (!found || repository?.storageName !== 'default')
    throw new CallStatus(StatusCode.NotFound, 'repository not found');
  return folder;
}

function pieces(bytes: Buffer): Buffer[] {
  const size = Math.max(PIECE, Math.ceil(bytes.length / 200));
  return Array.from({ length: Math.ceil(bytes.length / size) }, (_, i) => bytes.subarray(i * size, (i + 1) * size));
}
