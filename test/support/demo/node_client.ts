import { once } from 'node:events';
import type { IncomingMessage } from 'node:http';
import { request } from 'node:https';
import { type RawData, WebSocket } from 'ws';
import { within } from '../wait.ts';
import type { DemoClient } from './client.ts';

/** The API server's own idea of a table, as kubectl asks for it. */
interface Table {
  readonly metadata?: { readonly resourceVersion?: string };
  readonly columnDefinitions?: readonly { readonly name: string; readonly priority: number }[];
  readonly rows: readonly { readonly cells: readonly unknown[] }[];
}

interface WatchEvent {
  readonly type: string;
  readonly object: Table;
}

const PODS = '/api/v1/namespaces/default/pods';
const AS_TABLE = 'application/json;as=Table;v=v1;g=meta.k8s.io';
const STDOUT = 1;
const STATUS = 3;
const WAIT_MS = 30_000;

/** Stands in for kubectl on machines that have none: HTTPS for lists and watches, a WebSocket for exec. */
export function nodeClient(url: string, ca: string, token: string): DemoClient {
  const headers = { authorization: `Bearer ${token}` };
  const get = (path: string): Promise<IncomingMessage> =>
    new Promise((resolve, reject) => {
      const outgoing = request(`${url}${path}`, { ca, headers: { ...headers, accept: AS_TABLE }, agent: false });
      outgoing.on('error', reject);
      outgoing.on('response', (response) => {
        if (response.statusCode === 200) return resolve(response);
        response.resume();
        reject(new Error(`GET ${url}${path}: ${response.statusCode} ${response.statusMessage}`));
      });
      outgoing.end();
    });
  const list = async () => JSON.parse(await within('the list of pods', WAIT_MS, get(PODS).then(textOf))) as Table;
  const openWatch = async () => {
    const { metadata } = await list();
    return await get(`${PODS}?watch=1&resourceVersion=${metadata?.resourceVersion ?? ''}`);
  };
  return {
    name: 'a small client of our own (there is no kubectl 1.31 or newer here)',
    commands: {
      pods: `GET ${PODS}`,
      watch: `GET ${PODS}?watch=1`,
      exec: (pod, command) => `WebSocket ${PODS}/${pod}/exec: sh -c '${command}'`,
    },
    async pods() {
      const table = await list();
      return layOut([headings(table), ...table.rows.map(({ cells }) => cells.map(String))], table);
    },
    watch() {
      let text = '';
      let response: IncomingMessage | undefined;
      const arrived = openWatch().then((incoming) => {
        response = incoming;
        incoming.on('error', () => {}); // our own end
        incoming.setEncoding('utf8').on('data', (chunk: string) => {
          text += chunk;
        });
      });
      arrived.catch((error: unknown) => {
        text += String(error);
      });
      return {
        output: () => events(text),
        async end() {
          await within('the answer to the watch', WAIT_MS, arrived);
          response?.destroy();
        },
      };
    },
    async exec(pod, command) {
      const query = new URLSearchParams([
        ...['sh', '-c', command].map((word) => ['command', word]),
        ['stdout', 'true'],
        ['stderr', 'true'],
      ]);
      const socket = new WebSocket(`${url.replace(/^http/, 'ws')}${PODS}/${pod}/exec?${query}`, 'v5.channel.k8s.io', {
        ca,
        headers,
      });
      let output = '';
      let status = '';
      socket.on('message', (data) => {
        const message = asBuffer(data);
        const content = message.subarray(1).toString();
        if (message[0] === STDOUT) output += content;
        else if (message[0] === STATUS) status += content;
      });
      const closed = once(socket, 'close'); // rejects when the connection fails
      try {
        await within('exec', WAIT_MS, closed);
      } finally {
        socket.terminate();
      }
      if ((JSON.parse(status || '{}') as { status?: string }).status !== 'Success')
        throw new Error(`exec: ${status || 'ended without a status'}`);
      return output;
    },
  };
}

async function textOf(response: IncomingMessage): Promise<string> {
  let text = '';
  for await (const chunk of response.setEncoding('utf8')) text += chunk;
  return text;
}

/** The complete lines of a watch. */
function events(text: string): string {
  const complete = text.slice(0, text.lastIndexOf('\n') + 1).split('\n');
  const rows = complete
    .filter((line) => line !== '')
    .flatMap((line) => {
      const { type, object } = JSON.parse(line) as WatchEvent;
      return object.rows.map(({ cells }) => [type, ...cells.slice(0, 3).map(String)]);
    });
  return layOut(rows);
}

function headings({ columnDefinitions = [] }: Table): string[] {
  return columnDefinitions.map(({ name }) => name.toUpperCase());
}

/** Columns of equal width; without those that only `-o wide` shows. */
function layOut(rows: readonly (readonly string[])[], { columnDefinitions = [] }: Partial<Table> = {}): string {
  const shown = rows.map((row) => row.filter((_, column) => (columnDefinitions[column]?.priority ?? 0) === 0));
  const width = (column: number) => Math.max(...shown.map((row) => row[column]?.length ?? 0));
  return shown
    .map(
      (row) =>
        `${row
          .map((cell, column) => cell.padEnd(width(column)))
          .join('   ')
          .trimEnd()}\n`,
    )
    .join('');
}

function asBuffer(data: RawData): Buffer {
  if (Buffer.isBuffer(data)) return data;
  return Array.isArray(data) ? Buffer.concat(data) : Buffer.from(data);
}
