import type { TestEvent } from 'node:test/reporters';

/** What became of a run of Node's test runner. */
export interface Outcome {
  readonly passed: number;
  readonly failed: number;
  readonly skipped: number;
  /** Paths of the files that failed tests are in. */
  readonly failedFiles: readonly string[];
}

/** A reporter for Node's test runner: one JSON object, an `Outcome`, when all is over. */
export default async function* reportOutcome(events: AsyncIterable<TestEvent>): AsyncGenerator<string> {
  let passed = 0;
  let failed = 0;
  let skipped = 0;
  const failedFiles = new Set<string>();
  for await (const { type, data } of events) {
    if (type !== 'test:pass' && type !== 'test:fail') continue;
    if (type === 'test:fail' && data.file !== undefined) failedFiles.add(data.file);
    if (data.details.type === 'suite') continue;
    if (data.skip !== undefined || data.todo !== undefined) skipped++;
    else if (type === 'test:pass') passed++;
    else failed++;
  }
  const outcome: Outcome = { passed, failed, skipped, failedFiles: [...failedFiles] };
  yield `${JSON.stringify(outcome)}\n`;
}
