import assert from 'node:assert/strict';
import { test } from 'node:test';
import { create } from '@bufbuild/protobuf';
import { GitalyInfoSchema, GitalyRepositorySchema } from '../../gen/gitlab/agent/entity/entity_pb.ts';
import type { RepositoryAt } from '../../gitaly/client.ts';
import type { Discovered } from '../../gitaly/reference_discovery.ts';
import { RepositoryHeads } from './repository_heads.ts';

const MAIN = 'refs/heads/main';
const { signal } = new AbortController();

function repository(relativePath: string, token = 't'): RepositoryAt {
  return {
    gitaly: create(GitalyInfoSchema, { address: 'tcp://gitaly:1', token }),
    repository: create(GitalyRepositorySchema, { storageName: 'default', relativePath }),
  };
}

function setUp() {
  const asked: string[] = [];
  const answers: ((commitId: string) => void)[] = [];
  const heads = new RepositoryHeads({
    findRef({ repository: { relativePath } }, ref) {
      asked.push(`${relativePath} ${ref}`);
      return new Promise<Discovered>((resolve) => {
        answers.push((commitId) => resolve({ kind: 'found', commitId }));
      });
    },
  });
  const find = (at: RepositoryAt, ref = MAIN) => heads.find(at, ref, { signal });
  return { heads, find, asked, answers };
}

test('who asks the same at the same time shares the answer; who asks later asks anew', async () => {
  const { find, asked, answers } = setUp();
  const both = Promise.all([find(repository('a')), find(repository('a'))]);
  answers[0]!('1');
  assert.deepEqual(await both, [
    { kind: 'found', commitId: '1' },
    { kind: 'found', commitId: '1' },
  ]);
  void find(repository('a'));
  assert.equal(asked.length, 2);
});

test('another repository, branch or credential is another question', () => {
  const { find, asked } = setUp();
  void find(repository('a'));
  void find(repository('b'));
  void find(repository('a'), 'refs/heads/other');
  void find(repository('a', 'another'));
  assert.deepEqual(asked, [`a ${MAIN}`, `b ${MAIN}`, 'a refs/heads/other', `a ${MAIN}`]);
});

test('an answer that was on its way before a push is none to who asks after it', async () => {
  const { heads, find, answers } = setUp();
  const before = find(repository('a'));
  heads.outdate(repository('a'), MAIN);
  const after = find(repository('a'));
  const [first, second] = answers;
  first!('old');
  assert.deepEqual(await before, { kind: 'found', commitId: 'old' });
  const joined = find(repository('a')); // the old one's end has not forgotten the new one
  second!('new');
  assert.deepEqual(
    [await after, await joined].map((found) => found.kind === 'found' && found.commitId),
    ['new', 'new'],
  );
  assert.equal(answers.length, 2);
});
