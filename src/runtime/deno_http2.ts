import { type Http2Session, performServerHandshake } from 'node:http2';
import process from 'node:process';
import { Duplex } from 'node:stream';

/**
 * On Deno, makes every HTTP/2 session end in a turn of its own. Deno 2.9 hands a GOAWAY to JavaScript from inside its HTTP/2
 * library, and an answer of `session.destroy()` (Node's own code gives it, and Connect's) frees what the library still reads:
 * the process dies of SIGSEGV or of an assertion. Node defers this itself. Does nothing there, nor when called again.
 */
export function spareDenoHttp2(): void {
  if (process.versions.deno === undefined || spared) return;
  spared = true;
  const prototype = sessionPrototype();
  const destroy = prototype.destroy;
  prototype.destroy = function later(this: Http2Session, ...how: Parameters<Http2Session['destroy']>) {
    setImmediate(() => destroy.apply(this, how));
  };
}

let spared = false;

/** What sessions of both sides inherit from; the module does not export it. */
function sessionPrototype(): Http2Session {
  const nowhere = new Duplex({ read() {}, write: (_chunk, _encoding, done) => done() });
  const session = performServerHandshake(nowhere);
  session.on('error', () => {});
  session.destroy();
  return Object.getPrototypeOf(Object.getPrototypeOf(session));
}
