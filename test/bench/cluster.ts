import { createServer } from 'node:http';
import process from 'node:process';

/**
 * The Kubernetes API server of the bench, as cheap as can be: `/pods` is 4 KB of JSON, `/big?bytes=N` a download,
 * anything else a 404. `node cluster.ts PORT`
 */
const pods = Buffer.from(JSON.stringify({ kind: 'PodList', items: [{ metadata: { name: 'x'.repeat(4000) } }] }));
const block = Buffer.alloc(64 << 10, 'x');

const server = createServer((request, response) => {
  const url = new URL(request.url ?? '/', 'http://cluster');
  request.resume();
  if (url.pathname === '/pods') {
    response.writeHead(200, { 'Content-Type': 'application/json', 'Content-Length': pods.length });
    response.end(pods);
    return;
  }
  if (url.pathname !== '/big') {
    response.writeHead(404).end();
    return;
  }
  let left = Number(url.searchParams.get('bytes'));
  response.writeHead(200, { 'Content-Type': 'application/octet-stream', 'Content-Length': left });
  const send = (): void => {
    while (left > 0) {
      const piece = left >= block.length ? block : block.subarray(0, left);
      left -= piece.length;
      if (!response.write(piece)) return;
    }
    response.end();
  };
  response.on('drain', send);
  send();
});
server.listen(Number(process.argv[2]), '127.0.0.1', () => process.stdout.write('ready\n'));
