#!/usr/bin/env node
// The fake GitLab alone: node test/support/gitlab/main.ts --port 8080 --secret-file api.secret [--era today]
import { readFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import type { Era } from './answers.ts';
import { startGitLab } from './gitlab.ts';

const say = (line: string) => process.stdout.write(`${line}\n`);
const { values } = parseArgs({
  options: {
    port: { type: 'string', default: '0' },
    era: { type: 'string', default: 'today' },
    'secret-file': { type: 'string' },
    help: { type: 'boolean', short: 'h', default: false },
  },
});

const eras: readonly Era[] = ['2023', 'middle', 'today'];
const era = eras.find((e) => e === values.era);
if (values.help || era === undefined) {
  say('usage: main.ts [--port N] [--era 2023|middle|today] [--secret-file FILE (base64 of 32 bytes)]');
  process.exit(values.help ? 0 : 2);
}
const file = values['secret-file'];
const secret = file === undefined ? {} : { secret: Buffer.from(readFileSync(file, 'utf8'), 'base64') };
const gitlab = await startGitLab({ port: Number(values.port), era, ...secret });
say(`GitLab of ${era} at ${gitlab.url}`);
if (file === undefined) say(`secret: ${gitlab.secret.toString('base64')}`);
say(`agent tokens: ${[...gitlab.agents.keys()].join(' ')}; job tokens: ${[...gitlab.jobs.keys()].join(' ')}`);
for (const signal of ['SIGINT', 'SIGTERM'] as const)
  process.on(signal, () => void gitlab.close().then(() => process.exit(0)));
