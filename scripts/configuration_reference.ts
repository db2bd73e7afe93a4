// Writes the table of keys into docs/configuration.md, below its marker. A test compares the two.
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { configurationReference } from '../src/config/reference.ts';
import { root } from './lib/repository.ts';

const page = join(root, 'docs', 'configuration.md');
const marker = '<!-- scripts/node scripts/configuration_reference.ts -->\n';
const [prose = ''] = readFileSync(page, 'utf8').split(marker);
writeFileSync(page, `${prose}${marker}\n${configurationReference()}`);
