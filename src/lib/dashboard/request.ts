/** A request's parameters, read one by one: an unknown one, or one that cannot be read, is a bad request that says so. */
import { usageError } from '../cli/errors.js';
import { nearest } from '../cli/nearest.js';
import { parseMoment, parseWhen, requireDuration } from '../cli/time.js';
import type { Moment } from '../../sql/values.js';

/** A parameter as the API describes it. */
export interface Parameter {
  description: string;
  type: 'string' | 'integer' | 'boolean';
  values?: readonly string[];
  /** Several values, separated by commas. */
  list?: true;
  default?: number | string;
}

export type Parameters = Readonly<Record<string, Parameter>>;

export class Query {
  constructor(
    private readonly given: URLSearchParams,
    private readonly known: Parameters,
  ) {
    for (const name of given.keys()) {
      if (name in known) continue;
      const meant = nearest(name, Object.keys(known));
      const hint =
        meant === undefined ? `parameters: ${Object.keys(known).join(', ') || 'none'}` : `did you mean ${meant}?`;
      throw usageError(`There is no parameter "${name}" here`, hint);
    }
  }

  /** Absent and empty are the same: a form sends what was left blank. */
  text(name: string): string | undefined {
    return this.given.get(name) || undefined;
  }

  /** The values of a parameter that may be repeated. */
  all(name: string): string[] {
    return this.given.getAll(name).filter((text) => text !== '');
  }

  /** Each value of a list. Raises a usage error for a value that is not one of the known ones. */
  list<T extends string>(name: string, values: readonly T[]): T[] {
    const typed = this.given.getAll(name).flatMap((text) => text.split(',').filter((word) => word !== ''));
    return typed.map((word) => {
      const found = values.find((value) => value === word);
      if (found === undefined) throw usageError(`"${word}" is not a value of ${name}`, `values: ${values.join(', ')}`);
      return found;
    });
  }

  limit(most: number): number {
    const fallback = Number(this.known.limit?.default ?? 50);
    const text = this.text('limit');
    const limit = text === undefined ? fallback : Number(text);
    if (!Number.isInteger(limit) || limit < 1 || limit > most)
      throw usageError(`limit "${text ?? ''}" is not a number from 1 to ${most}`);
    return limit;
  }

  moment(name: string): Moment | undefined {
    return parseMoment(this.text(name), name);
  }

  /** `since` and `until`, or the span around a moment: `around` less and plus `within`. */
  span(): { since?: Moment; until?: Moment } {
    const around = this.text('around');
    if (around === undefined) return { since: this.moment('since'), until: this.moment('until') };
    if (this.text('since') !== undefined || this.text('until') !== undefined)
      throw usageError('Use either around or since and until, not both');
    const within = requireDuration(this.text('within') ?? '5m', 'within');
    const { at, secondsAgo } = parseWhen(around, 'around');
    if (at === null) {
      const middle = secondsAgo ?? 0;
      return { since: { secondsAgo: middle + within }, until: { secondsAgo: Math.max(0, middle - within) } };
    }
    const point = (seconds: number): Moment => ({ at: new Date(Date.parse(at) + seconds * 1000).toISOString() });
    return { since: point(-within), until: point(within) };
  }
}

/** The body of a POST: a JSON object, each member once, nothing unknown. */
export class Body {
  private constructor(
    private readonly members: Readonly<Record<string, unknown>>,
    /** JSON texts of the members, with every digit. */
    private readonly texts: ReadonlyMap<string, string>,
  ) {}

  static async read(text: string, known: readonly string[]): Promise<Body> {
    const { splitObject } = await import('../task/json-params.js');
    let value: unknown;
    try {
      value = text.trim() === '' ? {} : JSON.parse(text);
    } catch {
      throw usageError('The body is not JSON');
    }
    if (typeof value !== 'object' || value === null || Array.isArray(value))
      throw usageError('The body is not a JSON object');
    for (const name of Object.keys(value))
      if (!known.includes(name)) throw usageError(`There is no member "${name}" here`, `members: ${known.join(', ')}`);
    return new Body(value as Record<string, unknown>, new Map(text.trim() === '' ? [] : splitObject(text.trim())));
  }

  flag(name: string): boolean {
    const value = this.members[name];
    if (value === undefined || value === null) return false;
    if (typeof value !== 'boolean') throw usageError(`${name} must be true or false`);
    return value;
  }

  text(name: string): string | undefined {
    const value = this.members[name];
    if (value === undefined || value === null || value === '') return undefined;
    if (typeof value !== 'string') throw usageError(`${name} must be a string`);
    return value;
  }

  requireText(name: string): string {
    const text = this.text(name);
    if (text === undefined) throw usageError(`${name} is missing`);
    return text;
  }

  integer(name: string): number | undefined {
    const value = this.members[name];
    if (value === undefined || value === null) return undefined;
    if (typeof value !== 'number' || !Number.isInteger(value) || value < 1)
      throw usageError(`${name} must be a positive integer`);
    return value;
  }

  /** A member's JSON text as it was sent. */
  json(name: string): string | undefined {
    return this.texts.get(name);
  }
}
