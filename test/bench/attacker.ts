// A worker that floods one listener, connection after connection, until it is ended: it must not share a thread with who measures.
import { workerData } from 'node:worker_threads';
import type { Endpoint } from '../support/endpoint.ts';
import { flood, floods } from '../support/hostile/floods.ts';

const { endpoint, name } = workerData as { endpoint: Endpoint; name: string };
const one = floods[name];
if (one === undefined) throw new Error(`no flood is called ${name}`);
for (;;) await flood(endpoint, one).catch(() => {});
