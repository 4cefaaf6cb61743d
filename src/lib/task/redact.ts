/**
 * Masks members of an answer by their paths, before anything of it is shown or written. A path names members from the top
 * of the JSON, with dots between: `params.card.number`. `*` is any one member, `**` any number of them (none too); lists
 * are looked through: `checkpoints.state.token` is the token of every checkpoint. `\.` is a dot in a name.
 */
import { RawJson } from '../../sql/values.js';
import { usageError } from '../cli/errors.js';
import { jsonTokens } from '../cli/format/json.js';
import { harmless } from '../cli/format/text.js';
import type { Io } from '../cli/io.js';

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

  /** The same on a JSON text, of which every other character stays as it is. However deep it is, nothing recurses. */
  private json(text: string, paths: readonly Path[]): string {
    const spots: [from: number, to: number][] = [];
    const open: { paths: readonly Path[]; object: boolean }[] = [];
    let here = paths;
    let awaitsKey = false;
    let mask = false;
    let hidden: { from: number; depth: number } | undefined;
    for (const [part, from] of jsonTokens(text)) {
      const [opens, closes] = [part === '{' || part === '[', part === '}' || part === ']'];
      if (hidden) {
        hidden.depth += opens ? 1 : closes ? -1 : 0;
        if (hidden.depth > 0) continue;
        spots.push([hidden.from, from + 1]);
        hidden = undefined;
      } else if (closes) {
        open.pop();
        awaitsKey = false;
      } else if (part === ',') {
        awaitsKey = open.at(-1)?.object ?? false;
        here = open.at(-1)?.paths ?? paths;
      } else if (awaitsKey) {
        here = below(here, JSON.parse(part) as string);
        mask = here.some((path) => path.length === 0);
        awaitsKey = false;
      } else if (part !== ':') {
        if (mask && opens) hidden = { from, depth: 1 };
        else if (mask) spots.push([from, from + part.length]);
        else if (opens) open.push({ paths: here, object: (awaitsKey = part === '{') });
        mask = false;
      }
    }
    this.masked += spots.length;
    let [result, done] = ['', 0];
    for (const [from, to] of spots) {
      result += text.slice(done, from) + JSON.stringify(masked);
      done = to;
    }
    return result + text.slice(done);
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
