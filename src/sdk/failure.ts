/** The stored reason of a failed run: the thrown value in a form that jsonb accepts, of limited size. */
import { attempt } from './attempt.js';
import { storableText } from './json.js';

/** Characters of text in one reason. A longer message is cut; what comes last, the chain of causes, is cut first. */
const mostCharacters = 64_000;
/** Levels of causes, and of values within a thrown object. */
const mostLevels = 8;
/** Members of an object or an array, and errors of an AggregateError, on each level. */
const mostMembers = 50;

const cutMark = '… (cut)';

/** Writes one reason. Never throws: a getter, a proxy or a `toString` that throws is only described. */
class FailureWriter {
  private left = mostCharacters;
  private readonly open = new Set<object>();

  error(error: Error, level: number): Record<string, unknown> {
    return this.within<Record<string, unknown>>(
      error,
      level,
      (message) => ({ message }),
      () => {
        const written: Record<string, unknown> = {
          name: this.text(read(error, 'name')),
          message: this.text(read(error, 'message')),
          stack: this.text(read(error, 'stack')) || null,
        };
        const cause = read(error, 'cause');
        if (cause !== undefined && this.left > 0) written['cause'] = this.thrown(cause, level + 1);
        const errors = attempt(() => error instanceof AggregateError) ? read(error, 'errors') : undefined;
        if (isArray(errors) && this.left > 0) {
          written['errors'] = this.members(errors, (member) => this.thrown(member, level + 1));
        }
        return written;
      },
    );
  }

  /** A thrown value, or a cause in its chain. */
  thrown(value: unknown, level: number): Record<string, unknown> {
    if (isError(value)) return this.error(value, level);
    if (typeof value !== 'object' || value === null)
      return { message: this.text(value === undefined ? 'undefined' : value) };
    const form = this.value(value, level + 1);
    const message = read(value, 'message');
    return { message: typeof message === 'string' ? this.text(message) : this.text(JSON.stringify(form)), value: form };
  }

  private value(value: unknown, level: number): unknown {
    if (value === null || typeof value === 'boolean' || typeof value === 'number') return value;
    if (typeof value === 'string') return this.text(value);
    if (typeof value === 'undefined') return undefined;
    if (typeof value === 'function') return `[function ${this.text(read(value, 'name'))}]`;
    if (typeof value !== 'object') return this.text(value);
    if (isError(value)) return this.error(value, level);
    return this.within<unknown>(
      value,
      level,
      (mark) => mark,
      () => {
        const own = read(value, 'toJSON');
        const json = typeof own === 'function' ? attempt(() => (own as () => unknown).call(value)) : undefined;
        if (json !== undefined) return this.value(json, level + 1);
        const members = membersOf(value);
        if (members !== undefined) return this.members(members, (member) => this.value(member, level + 1) ?? null);
        // Without a prototype: a key may be "__proto__".
        const written = Object.create(null) as Record<string, unknown>;
        for (const key of attempt(() => Object.keys(value).slice(0, mostMembers)) ?? []) {
          if (this.left > 0) written[this.text(key)] = this.value(read(value, key), level + 1);
        }
        return written;
      },
    );
  }

  /** Descends into an object, unless that is too deep or leads back to where it came from. */
  private within<Written>(
    object: object,
    level: number,
    instead: (mark: string) => Written,
    describe: () => Written,
  ): Written {
    if (this.open.has(object)) return instead('[circular]');
    if (level >= mostLevels || this.left <= 0) return instead(cutMark);
    this.open.add(object);
    try {
      return describe();
    } finally {
      this.open.delete(object);
    }
  }

  private members<Written>(members: readonly unknown[], describe: (member: unknown) => Written): unknown[] {
    const written: unknown[] = [];
    const count = Number(read(members, 'length'));
    for (let place = 0; place < Math.min(count, mostMembers); place += 1) {
      if (this.left > 0) written.push(describe(read(members, place)));
    }
    if (written.length < count) written.push(`… (${count - written.length} more)`);
    return written;
  }

  private text(value: unknown): string {
    // Any value: the text that it has is what a person gets to see.
    // eslint-disable-next-line @typescript-eslint/no-base-to-string
    const whole = value === undefined ? '' : (attempt(() => String(value)) ?? `[${typeof value} without a text]`);
    const kept = whole.length > this.left ? whole.slice(0, Math.max(0, this.left)) + cutMark : whole;
    this.left -= whole.length;
    return storableText(kept);
  }
}

function isError(value: unknown): value is Error {
  return attempt(() => value instanceof Error || Object.prototype.toString.call(value) === '[object Error]') === true;
}

function isArray(value: unknown): value is readonly unknown[] {
  return attempt(() => Array.isArray(value)) === true;
}

/** The members of an array or a Set, and the entries of a Map; undefined for anything else, and for what only looks like one. */
function membersOf(value: object): readonly unknown[] | undefined {
  if (isArray(value)) return value;
  return (
    attempt(() => [...(Map.prototype.entries.call(value) as Iterable<unknown>)]) ??
    attempt(() => [...(Set.prototype.values.call(value) as Iterable<unknown>)])
  );
}

function read(object: object, key: string | number): unknown {
  return attempt(() => (object as Record<string | number, unknown>)[key]);
}

/**
 * The reason of a failed run as JSON text. An error is `{name, message, stack}`, with `cause` and an AggregateError's `errors`
 * in the same form; a thrown object `{message, value}`; anything else `{message}`.
 */
export function describeFailure(error: unknown): string {
  return JSON.stringify(new FailureWriter().thrown(error, 0));
}

/** A brief reason, stored if the server refuses the full one. */
export function describeFailureBriefly(error: unknown): string {
  const { name, message } = new FailureWriter().thrown(error, 0) as { name?: string; message: string };
  return JSON.stringify({ name, message: message.replace(/[^\x20-\x7e\n]/g, '?').slice(0, 1000) });
}
