import { createServer, type Server } from 'node:http';
import type { TestAgent } from './agent.ts';

/** `/liveness` and `/readiness` for the kubelet, as agentk serves them. @throws {Error} when it cannot listen */
export async function serveProbes(address: string, agent: TestAgent): Promise<Server> {
  const match = /^(?:\[([^\]]*)\]|([^:]*)):(\d+)$/.exec(address);
  if (match === null) throw new Error(`invalid observability-listen-address: ${address}`);
  const server = createServer((request, response) => {
    const known = request.url === '/liveness' || request.url === '/readiness';
    const ready = known && (request.url === '/liveness' || agent.connected);
    response.writeHead(known ? (ready ? 200 : 503) : 404).end();
  });
  const host = match[1] ?? match[2];
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen({ port: Number(match[3]), ...(host ? { host } : {}) }, resolve);
  });
  return server;
}
