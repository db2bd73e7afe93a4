import './runtime/small_while_loading.ts'; // first: see there

import process from 'node:process';
import { checkConfig } from './commands/check_config.ts';
import { parseCommandLine } from './commands/command_line.ts';
import { abort, processConsole } from './commands/console.ts';
import { help } from './commands/help.ts';
import { serve } from './commands/serve.ts';
import { version } from './commands/version.ts';
import { worker } from './commands/worker.ts';
import { errorText } from './runtime/app_error.ts';

async function run(): Promise<0 | 1> {
  const line = parseCommandLine(process.argv.slice(2));
  switch (line.command) {
    case 'serve':
      return serve(line.file, processConsole);
    case 'check-config':
      return checkConfig(line.file, line.effective, processConsole);
    case 'worker':
      return worker(processConsole);
    case 'version':
      return version(processConsole);
    case 'help':
      return help(processConsole);
    case 'wrong':
      return abort(processConsole, line.message);
  }
}

// Ends the process even if something still holds a timer or a socket: by now nobody needs it.
run().then(
  (status) => process.exit(status),
  (defect) => process.exit(abort(processConsole, errorText(defect))),
);
