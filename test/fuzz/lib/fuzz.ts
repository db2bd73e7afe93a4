import assert from 'node:assert/strict';
import { randomInt } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import process from 'node:process';
import { test } from 'node:test';
import fc from 'fast-check';
import { root } from '../../support/launch.ts';
import { fromCorpus, toCorpus } from './corpus.ts';

/** How long each property is tried; the command for long runs sets more. */
const budgetMs = Number(process.env.FUZZ_MS ?? 400);
/** The same seed tries the same inputs. */
const seed = Number(process.env.FUZZ_SEED ?? randomInt(2 ** 31));

console.log(`FUZZ_SEED=${seed} FUZZ_MS=${budgetMs}`);

/**
 * A test that `holds` throws for no input. First come the findings of the past, from `corpus/<name>.json`, then inputs made up
 * as long as there is time. What fails is made small, shown, and kept in `findings/` to be moved to the corpus.
 */
export function fuzz<T>(name: string, inputs: fc.Arbitrary<T>, holds: (input: T) => void | Promise<void>): void {
  const file = `${name.replaceAll(/[^a-z0-9]+/gi, '_').toLowerCase()}.json`;
  test(name, { timeout: budgetMs + 60_000 }, async () => {
    for (const { why, input } of corpusOf(file)) {
      try {
        await holds(fromCorpus(input) as T);
      } catch (error) {
        throw new Error(`corpus/${file}: ${why}`, { cause: error });
      }
    }
    const outcome = await fc.check(
      fc.asyncProperty(inputs, async (input) => holds(input)),
      { seed, numRuns: Number.MAX_SAFE_INTEGER, interruptAfterTimeLimit: budgetMs, markInterruptAsFailure: false },
    );
    if (outcome.failed) {
      keep(file, outcome.counterexample?.[0]);
      throw new Error(`${fc.defaultReportMessage(outcome)}\nAgain: FUZZ_SEED=${seed} FUZZ_MS=${budgetMs * 10}`, {
        cause: outcome.errorInstance,
      });
    }
    assert.ok(outcome.numRuns > 0, 'there was no time for a single input');
  });
}

function corpusOf(file: string): { why: string; input: unknown }[] {
  const path = `${root}test/fuzz/corpus/${file}`;
  return existsSync(path) ? JSON.parse(readFileSync(path, 'utf8')) : [];
}

function keep(file: string, input: unknown): void {
  const folder = `${root}test/fuzz/findings`;
  mkdirSync(folder, { recursive: true });
  writeFileSync(
    `${folder}/${seed}-${file}`,
    `${JSON.stringify([{ why: '', input: toCorpus(input) }], undefined, 2)}\n`,
  );
}
