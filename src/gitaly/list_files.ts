import { fromBinary } from '@bufbuild/protobuf';
import { anyUnpack } from '@bufbuild/protobuf/wkt';
import { CommitService, GetTreeEntriesErrorSchema, TreeEntry_EntryType } from '../gen/gitaly/gitaly_pb.ts';
import { StatusSchema } from '../gen/google/rpc/status_pb.ts';
import { StatusCode } from '../runtime/status_code.ts';
import type { CallFailure } from './call_failure.ts';
import type { Folder, GitalyCallOptions, ListedFile, RepositoryAt } from './client.ts';
import type { GitalyErrorKind } from './gitaly_error.ts';
import type { Pool } from './pool.ts';
import { repositoryOf, rpcError } from './read.ts';

/** Lists the files in and below a folder. */
export async function listFiles(
  pool: Pool,
  { gitaly, repository }: RepositoryAt,
  { revision, path, recursive = true, atMost = Number.POSITIVE_INFINITY }: Folder,
  options: GitalyCallOptions,
): Promise<readonly ListedFile[]> {
  const files: ListedFile[] = [];
  try {
    const request = {
      repository: repositoryOf(repository),
      revision: Buffer.from(revision),
      path: Buffer.from(path),
      recursive,
    };
    await pool.read(
      gitaly,
      CommitService.method.getTreeEntries,
      request,
      ({ entries }) => {
        for (const entry of entries) {
          if (files.length >= atMost) return true;
          if (entry.type === TreeEntry_EntryType.BLOB) {
            files.push({ path: Buffer.from(entry.path).toString('utf8'), commitId: entry.commitOid });
          }
        }
        return false;
      },
      options,
    );
  } catch (error) {
    throw rpcError(error, 'GetTreeEntries', path, meaningOf);
  }
  return files;
}

/** That a revision or a folder is not there is a detail of InvalidArgument; newer Gitalys say NotFound. */
function meaningOf({ status }: CallFailure): GitalyErrorKind | undefined {
  if (status.code === StatusCode.NotFound) return 'NotFound';
  if (status.code !== StatusCode.InvalidArgument) return undefined;
  return saysUnresolved(status.details) ? 'NotFound' : 'InvalidArgument';
}

/** Whether the details of a status say that the revision was not found. */
function saysUnresolved(details: Uint8Array | undefined): boolean {
  if (details === undefined) return false;
  try {
    return fromBinary(StatusSchema, details).details.some(
      (detail) => anyUnpack(detail, GetTreeEntriesErrorSchema)?.error.case === 'resolveTree',
    );
  } catch {
    return false; // details that cannot be read say nothing
  }
}
