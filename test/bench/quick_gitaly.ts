import { createServer, type ServerHttp2Session, type ServerHttp2Stream } from 'node:http2';
import type { AddressInfo } from 'node:net';
import { create, toBinary } from '@bufbuild/protobuf';
import {
  InfoRefsResponseSchema,
  TreeEntryResponse_ObjectType,
  TreeEntryResponseSchema,
} from '../../src/gen/gitaly/gitaly_pb.ts';
import { frame } from '../support/doubles/grpc_frames.ts';

/** A Gitaly that answers at once, without git: every repository has one branch, and there every file that is asked for. */
export interface QuickGitaly {
  readonly address: string;
  /** When calls came, by performance.now(). */
  readonly calls: number[];
  /** The head of all repositories. */
  commitId: string;
  close(): void;
}

/** @param file what is in each file */
export async function startQuickGitaly(file: string): Promise<QuickGitaly> {
  const data = Buffer.from(file);
  const blob = { type: TreeEntryResponse_ObjectType.BLOB, mode: 0o100644, size: BigInt(data.length), data };
  const entry = frame(toBinary(TreeEntryResponseSchema, create(TreeEntryResponseSchema, blob)));
  const sessions = new Set<ServerHttp2Session>();
  // Who has seen the reference that it looks for resets the rest; Node's guard against floods of resets is not Gitaly's.
  const server = createServer({ streamResetBurst: 1_000_000, streamResetRate: 1_000_000 });
  const gitaly: QuickGitaly = {
    address: '',
    calls: [],
    commitId: 'a'.repeat(40),
    close() {
      server.close();
      for (const session of sessions) session.destroy();
    },
  };

  function refs(): Buffer {
    const lines = [packet('# service=git-upload-pack\n'), '0000'];
    lines.push(packet(`${gitaly.commitId} refs/heads/main\0agent=bench\n`), '0000');
    const advertised = create(InfoRefsResponseSchema, { data: Buffer.from(lines.join('')) });
    return frame(toBinary(InfoRefsResponseSchema, advertised));
  }

  server.on('session', (session) => void sessions.add(session));
  server.on('stream', (stream: ServerHttp2Stream, headers) => {
    gitaly.calls.push(performance.now());
    stream.on('error', () => {}).resume();
    stream.on('wantTrailers', () => stream.sendTrailers({ 'grpc-status': '0' }));
    stream.respond({ ':status': 200, 'content-type': 'application/grpc' }, { waitForTrailers: true });
    stream.end(headers[':path'] === '/gitaly.CommitService/TreeEntry' ? entry : refs());
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return Object.assign(gitaly, { address: `tcp://127.0.0.1:${(server.address() as AddressInfo).port}` });
}

function packet(line: string): string {
  return (line.length + 4).toString(16).padStart(4, '0') + line;
}
