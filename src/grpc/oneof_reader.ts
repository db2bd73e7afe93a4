import { WireReader } from './protobuf_wire.ts';

const wire = new WireReader();

/** Finds the member of a message that is all one oneof. */
export class OneofReader {
  /** The member's field number; 0: there is none. */
  field = 0;
  start = 0;
  end = 0;

  /**
   * @param highest fields above it are for newer peers and skipped
   * @throws MalformedMessage
   */
  read(message: Buffer, highest: number): void {
    // A oneof sent twice counts the last time; one field that fills the message is what everybody sends.
    this.field = 0;
    wire.reset(message, 0, message.length);
    while (wire.next()) {
      if (wire.wireType !== 2 || wire.field > highest) continue;
      this.field = wire.field;
      this.start = wire.valueStart;
      this.end = wire.valueEnd;
    }
  }
}
