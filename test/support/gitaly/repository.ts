import { execFile } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';

/** A bare repository that the git binary made, and reads. */
export interface TestRepository {
  /** Below the storage, like `p/1001.git`. */
  readonly relativePath: string;
  /**
   * A new commit on a branch (default main): the files given are added or, if null, removed; the others stay.
   * @returns its id
   */
  commit(files: Readonly<Record<string, string | Buffer | null>>, branch?: string): Promise<string>;
  deleteBranch(branch: string): Promise<void>;
  git(args: readonly string[], input?: Buffer): Promise<Buffer>;
}

/** Makes an empty repository in a storage folder. */
export async function createRepository(storage: string, relativePath: string): Promise<TestRepository> {
  const folder = join(storage, relativePath);
  mkdirSync(folder, { recursive: true });
  const run = (args: readonly string[], input?: Buffer) => git(folder, args, input);
  await run(['init', '--quiet', '--bare', '--initial-branch=main']);
  let commits = 0;
  return {
    relativePath,
    git: run,
    deleteBranch: async (branch) => void (await run(['update-ref', '-d', `refs/heads/${branch}`])),
    async commit(files, branch = 'main') {
      const ref = `refs/heads/${branch}`;
      const before = (await run(['for-each-ref', '--format=%(objectname)', ref])).toString().trim();
      const stream: (string | Buffer)[] = [
        `commit ${ref}\ncommitter Test <test@example> ${1_700_000_000 + commits++} +0000\ndata 4\ntest\n`,
        before === '' ? '' : `from ${before}\n`,
      ];
      for (const [path, content] of Object.entries(files)) {
        const bytes = Buffer.from(content ?? '');
        if (content === null) stream.push(`D ${path}\n`);
        else stream.push(`M 100644 inline ${path}\ndata ${bytes.length}\n`, bytes, '\n');
      }
      await run(['fast-import', '--quiet', '--force'], Buffer.concat(stream.map((part) => Buffer.from(part))));
      return (await run(['rev-parse', ref])).toString().trim();
    },
  };
}

/** Runs git in a repository, without the configuration of whoever runs the tests. Rejects with what git says. */
export function git(folder: string, args: readonly string[], input?: Buffer): Promise<Buffer> {
  const env = { PATH: process.env.PATH, GIT_CONFIG_GLOBAL: '/dev/null', GIT_CONFIG_SYSTEM: '/dev/null' };
  return new Promise((resolve, reject) => {
    const child = execFile(
      'git',
      ['-C', folder, ...args],
      { env, encoding: 'buffer', maxBuffer: 64 << 20 },
      (error, stdout, stderr) => (error === null ? resolve(stdout) : reject(new Error(stderr.toString().trim()))),
    );
    child.stdin?.on('error', () => {}).end(input);
  });
}
