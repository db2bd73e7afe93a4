import { spawn } from 'node:child_process';
import { isAbsolute } from 'node:path';
import { errorText } from '../runtime/app_error.ts';

/** No configuration is longer; a command that prints for ever must not fill the memory. */
const longestOutput = 1024 * 1024;

/**
 * Runs `config.command`, without a shell, and returns what it printed, or why there is nothing to use.
 * Its standard error is ours, so that administrators see what it complains of. The output may hold passwords: it is in no error
 * text.
 */
export function runConfigCommand(command: string): Promise<{ output: string } | { wrong: string }> {
  const [executable = '', ...args] = command.split(' ').filter((word) => word !== '');
  if (!isAbsolute(executable)) return Promise.resolve({ wrong: 'must begin with the absolute path of an executable' });
  return new Promise((resolve) => {
    const child = spawn(executable, args, { stdio: ['ignore', 'pipe', 'inherit'] });
    const chunks: Buffer[] = [];
    let length = 0;
    child.on('error', (error) => resolve({ wrong: `cannot run ${executable}: ${errorText(error)}` }));
    child.stdout.on('error', (error) => resolve({ wrong: `cannot read from ${executable}: ${errorText(error)}` }));
    child.stdout.on('data', (chunk: Buffer) => {
      length += chunk.length;
      if (length <= longestOutput) chunks.push(chunk);
      else {
        resolve({ wrong: `${executable} printed more than ${longestOutput} bytes` });
        child.kill('SIGKILL');
      }
    });
    child.on('close', (code, signal) => {
      if (code === 0) resolve({ output: Buffer.concat(chunks).toString('utf8') });
      else resolve({ wrong: `${executable} ended with ${code === null ? `signal ${signal}` : `exit status ${code}`}` });
    });
  });
}
