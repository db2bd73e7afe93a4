// For processes of Node's test runner. With --test-force-exit they end although their last reports may still wait for the
// runner to read earlier ones, and those are lost: here they are written first.
import process from 'node:process';

if (process.env.NODE_TEST_CONTEXT === 'child-v8') {
  const exit = process.exit.bind(process);
  process.exit = ((code?: number) => {
    process.stdout.write('', () => exit(code));
  }) as typeof process.exit;
}
