import type { MessageInitShape } from '@bufbuild/protobuf';
import {
  CommitService,
  type RepositorySchema,
  SmartHTTPService,
  TreeEntryResponse_ObjectType,
} from '../gen/gitaly/gitaly_pb.ts';
import type { GitalyRepository } from '../gen/gitlab/agent/entity/entity_pb.ts';
import { statusText } from '../grpc/status.ts';
import { StatusCode } from '../runtime/status_code.ts';
import { CallFailure } from './call_failure.ts';
import type { GitalyCallOptions, RepositoryAt } from './client.ts';
import { GitalyError, type GitalyErrorKind } from './gitaly_error.ts';
import { PktLineError } from './pkt_line.ts';
import type { Pool } from './pool.ts';
import { type Discovered, ReferenceDiscovery } from './reference_discovery.ts';

/** Finds a reference as git clients do, and stops listening as soon as it is seen. */
export async function findRef(
  pool: Pool,
  { gitaly, repository }: RepositoryAt,
  ref: string,
  options: GitalyCallOptions,
): Promise<Discovered> {
  const rpc = 'InfoRefsUploadPack';
  const discovery = new ReferenceDiscovery(ref);
  let found: Discovered | undefined;
  try {
    const request = { repository: repositoryOf(repository) };
    await pool.read(
      gitaly,
      SmartHTTPService.method.infoRefsUploadPack,
      request,
      ({ data }) => {
        found = discovery.push(data);
        return found !== undefined;
      },
      options,
    );
    return found ?? discovery.finish();
  } catch (error) {
    if (error instanceof PktLineError) {
      throw new GitalyError('ProtocolError', undefined, { detail: error.message, cause: error });
    }
    throw rpcError(error, rpc);
  }
}

/** Reads a file, never more of it than `maxBytes`, whatever Gitaly says its size is. */
export async function readFile(
  pool: Pool,
  { gitaly, repository }: RepositoryAt,
  { revision, path, maxBytes }: { readonly revision: string; readonly path: string; readonly maxBytes: number },
  options: GitalyCallOptions,
): Promise<Buffer> {
  const rpc = 'TreeEntry';
  const pieces: Uint8Array[] = [];
  let size = 0;
  let first = true;
  try {
    const request = {
      repository: repositoryOf(repository),
      revision: Buffer.from(revision),
      path: Buffer.from(path),
      maxSize: BigInt(maxBytes),
    };
    await pool.read(
      gitaly,
      CommitService.method.treeEntry,
      request,
      ({ type, data }) => {
        // Only the first message has a type.
        if (first && type !== TreeEntryResponse_ObjectType.BLOB) {
          throw new GitalyError('UnexpectedTreeEntryType', `${rpc}.Recv`, { path });
        }
        first = false;
        size += data.length;
        if (size > maxBytes) {
          const detail = `Gitaly sent more than the maximum allowed size (${maxBytes})`;
          throw new GitalyError('FileTooBig', `${rpc}.Recv`, { path, detail });
        }
        pieces.push(data);
        return false;
      },
      options,
    );
  } catch (error) {
    throw rpcError(error, rpc, path, ({ status }) => {
      if (status.code === StatusCode.FailedPrecondition) return 'FileTooBig';
      return status.code === StatusCode.NotFound ? 'NotFound' : undefined;
    });
  }
  // Gitaly before 16 answered a missing file with an empty stream.
  if (first) throw new GitalyError('NotFound', rpc, { path });
  return Buffer.concat(pieces);
}

/** The same numbers on the wire, another type. */
export function repositoryOf(repository: GitalyRepository): MessageInitShape<typeof RepositorySchema> {
  const { storageName, relativePath, gitObjectDirectory, gitAlternateObjectDirectories, glRepository, glProjectPath } =
    repository;
  return {
    storageName,
    relativePath,
    gitObjectDirectory,
    gitAlternateObjectDirectories,
    glRepository,
    glProjectPath,
  };
}

/**
 * What a failed call is to our callers; what is no failed call comes back as it is.
 * @param kindOf the meaning of Gitaly's status; undefined if it has no particular one
 */
export function rpcError(
  error: unknown,
  rpc: string,
  path?: string,
  kindOf?: (failure: CallFailure) => GitalyErrorKind | undefined,
): unknown {
  if (!(error instanceof CallFailure)) return error;
  const kind = error.asked ? kindOf?.(error) : undefined;
  return new GitalyError(kind ?? 'RpcError', error.asked && kind === undefined ? `${rpc}.Recv` : rpc, {
    ...(path !== undefined && { path }),
    detail: statusText(error.status),
    cause: error,
    unavailable: error.unavailable,
    overLimit: !error.asked && error.status.code === StatusCode.ResourceExhausted,
  });
}
