import { AppError } from '../../runtime/app_error.ts';
import { StatusCode } from '../../runtime/status_code.ts';

/** Redis cannot be reached, or has refused something. */
export class RedisError extends AppError {
  /** The server has answered, with this: the connection is in order, what was asked is not. */
  readonly answered: boolean;

  constructor(message: string, more: { cause?: unknown; hint?: string; answered?: boolean } = {}) {
    super(StatusCode.Unavailable, message, more);
    this.name = 'RedisError';
    this.answered = more.answered ?? false;
  }
}
