import type { Socket } from 'node:net';
import type { Scope } from '../runtime/scope.ts';
import type { OpenConnections } from './gate.ts';

/** So many are told why at a time: it takes the very thing that there is too little of. */
const MAX_FAREWELLS = 100;
const FAREWELL_MS = 1000;

/** Ends connections that are too many, with a word where that is cheap. */
export class Farewells {
  readonly #text: string | undefined;
  readonly #shared: OpenConnections | undefined;
  readonly #scope: Scope;
  #open = 0;

  constructor(text: string | undefined, shared: OpenConnections | undefined, scope: Scope) {
    this.#text = text;
    this.#shared = shared;
    this.#scope = scope;
  }

  /**
   * For a connection that is not among the open ones.
   * @param readable false: what we write would not be understood, because a handshake is missing
   */
  refuse(socket: Socket, readable: boolean): void {
    const shared = this.#shared;
    if (shared === undefined) this.say(socket, readable);
    else if (shared.open >= shared.max) socket.destroy();
    else {
      shared.open++;
      socket.once('close', () => {
        shared.open--;
      });
      this.say(socket, readable);
    }
  }

  /** For one that is. */
  say(socket: Socket, readable: boolean): void {
    if (this.#text === undefined || !readable || this.#open >= MAX_FAREWELLS) {
      socket.destroy();
      return;
    }
    this.#open++;
    const over = this.#scope.timeout(FAREWELL_MS, () => socket.destroy());
    socket.once('close', () => {
      over.stop();
      this.#open--;
    });
    socket.resume(); // unread bytes would turn the end into a reset, which takes our words along
    socket.on('end', () => socket.destroy());
    socket.end(this.#text);
  }
}
