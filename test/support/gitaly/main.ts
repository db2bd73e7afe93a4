#!/usr/bin/env node
// The fake Gitaly alone, with one repository: node test/support/gitaly/main.ts --port 8075 --agent my-agent
import { parseArgs } from 'node:util';
import { startGitaly } from './gitaly.ts';

const say = (line: string) => process.stdout.write(`${line}\n`);
const { values } = parseArgs({
  options: {
    port: { type: 'string', default: '0' },
    socket: { type: 'string' },
    agent: { type: 'string', default: 'agent-1' },
    help: { type: 'boolean', short: 'h', default: false },
  },
});

if (values.help) {
  say('usage: main.ts [--port N | --socket PATH] [--agent NAME]');
  process.exit(0);
}
const listen = values.socket === undefined ? { port: Number(values.port) } : { socket: values.socket };
const gitaly = await startGitaly({ listen });
const repository = await gitaly.createRepository('p/1001.git');
const commitId = await repository.commit({
  [`.gitlab/agents/${values.agent}/config.yaml`]: 'observability:\n  logging:\n    level: debug\n',
});
say(`Gitaly at ${gitaly.address}, token ${gitaly.token}, repository p/1001.git at ${commitId}`);
for (const signal of ['SIGINT', 'SIGTERM'] as const)
  process.on(signal, () => void gitaly.close().then(() => process.exit(0)));
