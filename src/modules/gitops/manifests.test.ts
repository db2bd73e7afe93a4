import assert from 'node:assert/strict';
import { test } from 'node:test';
import { create, type MessageInitShape } from '@bufbuild/protobuf';
import { GitalyInfoSchema, GitalyRepositorySchema } from '../../gen/gitlab/agent/entity/entity_pb.ts';
import { PathCFSchema } from '../../gen/gitlab/agent/gitops/rpc/gitops_pb.ts';
import type { GitalyClient } from '../../gitaly/client.ts';
import { GitalyError } from '../../gitaly/gitaly_error.ts';
import { Manifests } from './manifests.ts';

const KIB = 1024;

/** A repository of files of given sizes. */
function setUp(files: Record<string, number>, limits: { file?: number; total?: number; count?: number } = {}) {
  const at = { gitaly: create(GitalyInfoSchema), repository: create(GitalyRepositorySchema) };
  const sent: [source: string, bytes: number][] = [];
  const limitsOfFiles: number[] = [];
  const gitaly: Pick<GitalyClient, 'listFiles' | 'readFile'> = {
    listFiles(_, { path, recursive = true, atMost }) {
      const prefix = path === '.' ? '' : `${path}/`;
      const found = Object.keys(files).filter(
        (file) => file.startsWith(prefix) && (recursive || !file.slice(prefix.length).includes('/')),
      );
      return Promise.resolve(found.slice(0, atMost).map((file) => ({ path: file, commitId: 'listed' })));
    },
    readFile(_, { path, maxBytes }) {
      limitsOfFiles.push(maxBytes);
      const size = files[path];
      if (size === undefined) return Promise.reject(new GitalyError('NotFound', 'TreeEntry', { path }));
      if (size > maxBytes) return Promise.reject(new GitalyError('FileTooBig', 'TreeEntry', { path }));
      return Promise.resolve(Buffer.alloc(size));
    },
  };
  const manifests = new Manifests({
    gitaly,
    at,
    limits: {
      maxManifestFileSize: limits.file ?? 1000 * KIB,
      maxTotalManifestFileSize: limits.total ?? 1000 * KIB,
      maxNumberOfFiles: limits.count ?? 100,
    },
    send(source, data) {
      sent.push([source, data.length]);
      return Promise.resolve();
    },
    asking: { signal: new AbortController().signal },
  });
  const fetch = (...paths: MessageInitShape<typeof PathCFSchema>['path'][]) =>
    manifests.fetch(
      'commit',
      paths.map((path) => create(PathCFSchema, { ...(path && { path }) })),
    );
  return { manifests, sent, limitsOfFiles, fetch };
}

const glob = (value: string) => ({ case: 'glob' as const, value });
const file = (value: string) => ({ case: 'file' as const, value });

test('globs come before files, each file once, hidden folders not at all', async () => {
  const { manifests, sent, fetch } = setUp({ 'b.yaml': 1, 'a/.hidden.yaml': 2, 'a/.git/c.yaml': 3, 'a/d.txt': 4 });
  await fetch(file('b.yaml'), file('a/d.txt'), file('a/d.txt'), glob('/**/*.yaml'));
  assert.deepEqual(sent, [
    ['b.yaml', 1],
    ['a/.hidden.yaml', 2],
    ['a/d.txt', 4],
  ]);
  assert.deepEqual([manifests.visited, manifests.sent], [7, 3]);
});

test('a file that two globs match is an error', async () => {
  const { fetch } = setUp({ 'a.yaml': 1 });
  await assert.rejects(fetch(glob('*.yaml'), glob('a*')), { message: 'path visited more than once: a.yaml' });
});

test('files come in pieces of 128 KiB, an empty one in one', async () => {
  const { sent, fetch } = setUp({ empty: 0, even: 256 * KIB, odd: 129 * KIB });
  await fetch(file('empty'), file('even'), file('odd'));
  assert.deepEqual(sent, [
    ['empty', 0],
    ['even', 128 * KIB],
    ['even', 128 * KIB],
    ['odd', 128 * KIB],
    ['odd', KIB],
  ]);
});

test('what is not wanted counts among the files, too', async () => {
  const files = { 'a.txt': 1, 'b.yaml': 1, 'c.txt': 1 };
  await setUp(files, { count: 3 }).fetch(glob('*.yaml'));
  const tooMany = { message: 'maximum number of files limit reached: 2' };
  await assert.rejects(setUp(files, { count: 2 }).fetch(glob('*.yaml')), tooMany);
  await assert.rejects(setUp(files, { count: 2 }).fetch(file('a.txt'), file('a.txt'), file('a.txt')), tooMany);
});

test('a file may have as much as one may, and as is left of what all may', async () => {
  const { sent, limitsOfFiles, fetch } = setUp({ a: 10, b: 5, c: 0, d: 1 }, { file: 10, total: 15 });
  await assert.rejects(fetch(file('a'), file('b'), file('c'), file('d')), { kind: 'FileTooBig' });
  assert.deepEqual(limitsOfFiles, [10, 10 - 5, 0, 0]);
  assert.equal(sent.length, 3);
  await assert.rejects(setUp({ a: 11 }, { file: 10 }).fetch(file('a')), { kind: 'FileTooBig' });
});
