/** gRPC metadata: keys are lower case, values in the order received. `-bin` values are carried decoded, as latin1. */
export type Metadata = ReadonlyMap<string, readonly string[]>;
