import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { root } from './launch.ts';
import type { LogLine, RunningServer } from './server.ts';

/** What a case of docs/operations.md shows: `…` in it stands for anything. */
export interface Shown {
  readonly title: string;
  /** A line of the log: these fields, perhaps among others. */
  readonly line: Readonly<Record<string, unknown>> | undefined;
  /** What a client or the console gets to see. */
  readonly text: string | undefined;
}

/** The cases of the page, by title: what stands under `## Troubleshooting` behind `###`. */
export function troubles(): Map<string, Shown> {
  const page = readFileSync(`${root}docs/operations.md`, 'utf8');
  const chapter = page.split(/^## Troubleshooting$/m)[1]?.split(/^## /m)[0] ?? '';
  const cases = chapter.split(/^### /m).slice(1);
  return new Map(
    cases.map((section) => {
      const title = section.slice(0, section.indexOf('\n'));
      const json = /^```json\n(.*?)\n```$/ms.exec(section)?.[1];
      const text = /^```text\n(.*?)\n```$/ms.exec(section)?.[1];
      return [title, { title, line: json === undefined ? undefined : JSON.parse(json), text }];
    }),
  );
}

/** A test that makes the failure of a case. */
export function trouble(title: string, make: (shown: Shown) => Promise<void>): void {
  test(title, async () => {
    const shown = troubles().get(title);
    assert.ok(shown !== undefined, `docs/operations.md has no case ${title}`);
    await make(shown);
  });
}

/** Waits for the very line that the page shows. */
export async function logs(
  server: Pick<RunningServer, 'waitForLog' | 'stderr'>,
  { title, line }: Shown,
): Promise<LogLine> {
  assert.ok(line !== undefined, `${title}: the page shows no line`);
  try {
    return await server.waitForLog(
      `of ${title}`,
      (logged) => fits(line, logged),
      Number(process.env.TROUBLE_MS ?? 10_000),
    );
  } catch (error) {
    throw new Error(`${String(error)}\n${JSON.stringify(line)}\nis not in\n${server.stderr().slice(-6000)}`);
  }
}

/** Asserts that somebody gets to see the very text that the page shows. */
export function shows(actual: string, { title, text }: Shown): void {
  assert.ok(text !== undefined, `${title}: the page shows no text`);
  assert.match(actual, patternOf(text));
}

function fits(line: Readonly<Record<string, unknown>>, logged: LogLine): boolean {
  return Object.entries(line).every(([name, value]) => {
    const actual = (logged as Record<string, unknown>)[name];
    return typeof value === 'string' ? patternOf(`${value}$`).test(String(actual)) : value === actual;
  });
}

function patternOf(text: string): RegExp {
  const whole = text.endsWith('$');
  const parts = (whole ? text.slice(0, -1) : text)
    .split('…')
    .map((part) => part.replace(/[.*+?^${}()|[\]\\]/g, '\\$&'));
  return new RegExp(whole ? `^${parts.join('.*')}$` : parts.join('.*'), 's');
}
