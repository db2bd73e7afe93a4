/** What is wrong with a message, in the words that upstream's users find in its log; empty: nothing. */
export type Violations = readonly string[];

/** Checks the fields of one message. `message` and field names are written as Go writes them. */
export class Validator {
  readonly violations: string[] = [];
  readonly #message: string;

  constructor(message: string) {
    this.#message = message;
  }

  positive(field: string, value: bigint): this {
    return value > 0n ? this : this.violation(field, 'value must be greater than 0');
  }

  notEmpty(field: string, value: string): this {
    return value !== '' ? this : this.violation(field, 'value length must be at least 1 bytes');
  }

  eachNotEmpty(field: string, values: readonly string[]): this {
    values.forEach((value, i) => {
      this.notEmpty(`${field}[${i}]`, value);
    });
    return this;
  }

  atLeastOne(field: string, values: readonly unknown[]): this {
    return values.length > 0 ? this : this.violation(field, 'value must contain at least 1 item(s)');
  }

  oneOf(field: string, value: string, allowed: readonly string[]): this {
    return allowed.includes(value) ? this : this.violation(field, `value must be in list [${allowed.join(' ')}]`);
  }

  /** A field that must be there. */
  required<M>(field: string, value: M | undefined, validate?: (value: M) => Violations): this {
    return value === undefined ? this.violation(field, 'value is required') : this.embedded(field, value, validate);
  }

  /** A field that may be absent. */
  embedded<M>(field: string, value: M | undefined, validate?: (value: M) => Violations): this {
    const inner = value === undefined ? undefined : validate?.(value);
    if (inner === undefined || inner.length === 0) return this;
    return this.violation(field, `embedded message failed validation | caused by: ${inner.join('; ')}`);
  }

  each<M>(field: string, values: readonly M[], validate: (value: M) => Violations): this {
    values.forEach((value, i) => {
      this.embedded(`${field}[${i}]`, value, validate);
    });
    return this;
  }

  violation(field: string, reason: string): this {
    this.violations.push(`invalid ${this.#message}.${field}: ${reason}`);
    return this;
  }
}
