// Writes the table of metrics into docs/metrics.md, below its marker. A test compares the two.
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import process from 'node:process';
import { metricsReference } from '../src/app/metrics_reference.ts';
import { root } from './lib/repository.ts';

const page = join(root, 'docs', 'metrics.md');
const marker = '<!-- scripts/node scripts/metrics_reference.ts -->\n';
const [prose = ''] = readFileSync(page, 'utf8').split(marker);
writeFileSync(page, `${prose}${marker}\n${metricsReference()}`);
process.exit(); // what measures the process all the time would keep it alive
