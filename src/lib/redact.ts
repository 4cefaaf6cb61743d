/**
 * Masks members of an answer by their paths, before anything of it is shown or written. A path names members from the top
 * of the JSON, with dots between: `params.card.number`. `*` is any one member, `**` any number of them (none too); lists
 * are looked through: `checkpoints.state.token` is the token of every checkpoint. `\.` is a dot in a name.
 */
import { RawJson } from '../sql/values.js';
import { usageError } from './errors.js';
import { harmless } from './format/text.js';
import type { Io } from './io.js';
import { splitArray, splitObject } from './json-params.js';

const masked = '[redacted]';

type Path = readonly string[];

function readPath(typed: string): Path {
  const path = typed.split(/(?<!\\)\./).map((name) => name.replaceAll('\\.', '.'));
  if (path.includes(''))
    throw usageError(`--redact "${typed}" has an empty name`, 'such as params.card.number or **.token');
  return path;
}

/** The paths below a member of that name; an empty one means that the member itself is masked. */
const below = (paths: readonly Path[], name: string): Path[] =>
  paths.flatMap(([first = '', ...rest]): Path[] => {
    if (first === '**') {
      const [next] = rest;
      return [['**', ...rest], ...(next === undefined ? [[]] : next === name || next === '*' ? [rest.slice(1)] : [])];
    }
    return first === name || first === '*' ? [rest] : [];
  });

class Redaction {
  /** How many members were. */
  masked = 0;

  value(value: unknown, paths: readonly Path[]): unknown {
    if (paths.length === 0 || value === null || value === undefined) return value;
    if (value instanceof RawJson) return new RawJson(this.json(value.text, paths));
    if (Array.isArray(value)) return value.map((item) => this.value(item, paths));
    if (typeof value !== 'object') return value;
    return Object.fromEntries(
      Object.entries(value).map(([name, member]) => {
        const next = below(paths, name);
        if (!next.some((path) => path.length === 0) || member === null) return [name, this.value(member, next)];
        this.masked++;
        // What is JSON stays JSON, so that it is drawn in its place.
        return [name, member instanceof RawJson ? new RawJson(JSON.stringify(masked)) : masked];
      }),
    );
  }

  /** The same on a JSON text, of which every other token stays as it is. */
  private json(text: string, paths: readonly Path[]): string {
    if (text.startsWith('['))
      return `[${splitArray(text)
        .map((item) => this.json(item, paths))
        .join(', ')}]`;
    if (!text.startsWith('{')) return text;
    const members = splitObject(text).map(([name, member]) => {
      const next = below(paths, name);
      const hit = next.some((path) => path.length === 0);
      if (hit) this.masked++;
      return `${JSON.stringify(name)}: ${hit ? JSON.stringify(masked) : this.json(member, next)}`;
    });
    return `{${members.join(', ')}}`;
  }
}

/**
 * Masks what the paths name, and says on standard error of each path that named nothing that it did: a slip there would
 * show a secret. Raises a usage error for a path that is none.
 */
export function redacted<T extends object>(io: Io, answer: T, typed: readonly string[] = []): T {
  let current: unknown = answer;
  for (const text of typed) {
    const redaction = new Redaction();
    current = redaction.value(current, [readPath(text)]);
    if (redaction.masked === 0) io.err(`--redact ${harmless(text)}: nothing here has that path\n`);
  }
  return current as T;
}
