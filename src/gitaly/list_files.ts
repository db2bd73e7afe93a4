import { CommitService, GetTreeEntriesErrorSchema, TreeEntry_EntryType } from '../gen/gitaly/gitaly_pb.ts';
import { StatusCode } from '../runtime/status_code.ts';
import type { CallFailure } from './call_failure.ts';
import type { GitalyCallOptions, ListedFile, RepositoryAt } from './client.ts';
import type { GitalyErrorKind } from './gitaly_error.ts';
import type { Pool } from './pool.ts';
import { repositoryOf, rpcError } from './read.ts';

/** Lists the files in and below a folder. */
export async function listFiles(
  pool: Pool,
  { gitaly, repository }: RepositoryAt,
  { revision, path }: { readonly revision: string; readonly path: string },
  options: GitalyCallOptions,
): Promise<readonly ListedFile[]> {
  const files: ListedFile[] = [];
  try {
    const request = {
      repository: repositoryOf(repository),
      revision: Buffer.from(revision),
      path: Buffer.from(path),
      recursive: true,
    };
    await pool.read(
      gitaly,
      CommitService.method.getTreeEntries,
      request,
      ({ entries }) => {
        for (const entry of entries) {
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
function meaningOf({ status, error }: CallFailure): GitalyErrorKind | undefined {
  if (status.code === StatusCode.NotFound) return 'NotFound';
  if (status.code !== StatusCode.InvalidArgument) return undefined;
  const details = error?.findDetails(GetTreeEntriesErrorSchema) ?? [];
  return details.some((detail) => detail.error.case === 'resolveTree') ? 'NotFound' : 'InvalidArgument';
}
