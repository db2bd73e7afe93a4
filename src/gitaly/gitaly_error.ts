import { AppError } from '../runtime/app_error.ts';
import { StatusCode } from '../runtime/status_code.ts';

export type GitalyErrorKind =
  | 'NotFound'
  | 'FileTooBig'
  | 'RpcError'
  | 'ProtocolError'
  | 'UnexpectedTreeEntryType'
  | 'InvalidArgument';

const messages: Record<GitalyErrorKind, string> = {
  NotFound: 'file/directory/ref not found',
  FileTooBig: 'file is too big',
  RpcError: 'RPC failed',
  ProtocolError: 'failed to parse reference discovery',
  UnexpectedTreeEntryType: 'file is not a usual file',
  InvalidArgument: 'invalid argument',
};

const codes: Record<GitalyErrorKind, StatusCode> = {
  NotFound: StatusCode.NotFound,
  FileTooBig: StatusCode.FailedPrecondition,
  RpcError: StatusCode.Unavailable,
  ProtocolError: StatusCode.Unavailable,
  UnexpectedTreeEntryType: StatusCode.FailedPrecondition,
  InvalidArgument: StatusCode.InvalidArgument,
};

/** A question to Gitaly that got no good answer. Texts: docs/protocol/gitaly.md. */
export class GitalyError extends AppError {
  readonly kind: GitalyErrorKind;
  /** True if Gitaly could not be reached, or is not ready: it may be back in a moment. */
  readonly unavailable: boolean;
  /** True if Gitaly was not asked, because this server asks it only so often. */
  readonly overLimit: boolean;

  /**
   * @param rpc the method, with `.Recv` if it began to answer; undefined if the answer is to blame
   * @param path what was asked for: a file, a folder or a reference
   */
  constructor(
    kind: GitalyErrorKind,
    rpc: string | undefined,
    more: {
      readonly path?: string;
      readonly detail?: string;
      readonly cause?: unknown;
      readonly unavailable?: boolean;
      readonly overLimit?: boolean;
    } = {},
  ) {
    const parts = [kind, rpc, messages[kind], more.path, more.detail];
    super(codes[kind], parts.filter((part) => part !== undefined && part !== '').join(': '), { cause: more.cause });
    this.name = 'GitalyError';
    this.kind = kind;
    this.unavailable = more.unavailable ?? false;
    this.overLimit = more.overLimit ?? false;
  }
}
