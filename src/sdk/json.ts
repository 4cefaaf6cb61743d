import type { Log } from './types.js';

/**
 * What jsonb can hold. It refuses two things that JavaScript's strings may have: the character U+0000, and half of a
 * surrogate pair, as `'😀'.slice(0, 1)` leaves it.
 */
const refusedCharacters = /[\0\p{Surrogate}]/u;
const allRefusedCharacters = new RegExp(refusedCharacters, 'gu');

/** Their form in JSON text; an even number of backslashes before it is text of the program's own. */
const refusedEscape = /(?<!\\)(?:\\\\)*\\u(?:0000|d[89a-f][0-9a-f]{2})/;

/** Members looked at in search of one that changes or cannot be stored. */
const mostMembers = 10_000;

/** The text with U+FFFD for each character that jsonb refuses. For texts of errors; values of programs are never changed. */
export function storableText(text: string): string {
  return text.replace(allRefusedCharacters, '\uFFFD');
}

/**
 * A value as JSON text that jsonb takes; undefined where JSON has nothing for it (undefined, a function).
 * @param what the value, for the error, as in `The value of step "charge"`
 * @throws Error that says what cannot be stored, and where in the value it is
 */
export function toJson(value: unknown, what: string): string | undefined {
  let text: string | undefined;
  try {
    text = JSON.stringify(value);
  } catch (error) {
    throw new Error(`${what} cannot be stored as JSON: ${findUnstorable(value) ?? String(error)}`, { cause: error });
  }
  if (text?.includes('\\u') && refusedEscape.test(text)) {
    const found = findUnstorable(value) ?? 'it has a character that PostgreSQL does not store';
    throw new Error(`${what} cannot be stored as JSON: ${found}`);
  }
  return text;
}

/** Steps that were said to change by JSON, by task and name: each is said once a process. */
const saidToChange = new Set<string>();
const mostSaid = 1000;

/** In development, says once which step returns another value on a later attempt than on the first. */
export function warnOfChange(log: Log, task: string, step: string, value: unknown): void {
  if (value === undefined || typeof value === 'string' || typeof value === 'boolean') return;
  if (saidToChange.size >= mostSaid || process.env['NODE_ENV'] === 'production') return;
  const change = findChangedByJson(value);
  if (change === undefined) return;
  const key = JSON.stringify([task, step]);
  if (saidToChange.has(key)) return;
  saidToChange.add(key);
  log.warn(
    `[absurd] task ${task}, step "${step}": its value has ${change}, which JSON does not keep. ` +
      'On a later attempt the step returns what JSON made of it.',
  );
}

/** Finds a member that JSON does not give back as it was, and says which and where; undefined if there is none. */
function findChangedByJson(value: unknown): string | undefined {
  return search(value, (member) => {
    if (typeof member === 'undefined') return 'undefined';
    if (typeof member === 'function') return 'a function';
    if (typeof member === 'symbol') return 'a symbol';
    if (typeof member === 'number' && !Number.isFinite(member)) return String(member);
    if (typeof member !== 'object' || member === null) return undefined;
    const isKept = !('toJSON' in member) && !lossy.some((kind) => member instanceof kind);
    return isKept ? undefined : `a ${member.constructor?.name ?? 'value with toJSON'}`;
  });
}

const lossy = [Map, Set, WeakMap, WeakSet, Error, RegExp, Promise, ArrayBuffer] as const;

function findUnstorable(value: unknown): string | undefined {
  return search(
    value,
    (member) => {
      if (typeof member === 'bigint') return 'a BigInt';
      if (typeof member === 'string' && refusedCharacters.test(member)) return unstorableText(member);
      return undefined;
    },
    (key) => (refusedCharacters.test(key) ? `a key: ${unstorableText(key)}` : undefined),
  );
}

function unstorableText(text: string): string {
  return text.includes('\0') ? 'the character U+0000' : 'half of a surrogate pair (a character was cut in two)';
}

/** Walks through a value as JSON would, and says where the first member is that has something to it; a cycle always has. */
function search(
  value: unknown,
  look: (member: unknown) => string | undefined,
  lookAtKey: (key: string) => string | undefined = () => undefined,
): string | undefined {
  let left = mostMembers;
  const open = new Set<object>();
  const visit = (member: unknown, path: string): string | undefined => {
    left -= 1;
    const found = look(member);
    if (found !== undefined) return path === '' ? found : `${found} at ${path}`;
    if (typeof member !== 'object' || member === null || left <= 0) return undefined;
    if (open.has(member)) return `a cycle at ${path}`;
    if ('toJSON' in member && typeof member.toJSON === 'function')
      return visit((member as { toJSON(): unknown }).toJSON(), path);
    open.add(member);
    for (const [key, inner] of Object.entries(member)) {
      const where = Array.isArray(member) ? `${path}[${key}]` : path === '' ? key : `${path}.${key}`;
      const inside = lookAtKey(key) ?? visit(inner, where);
      if (inside !== undefined) return inside;
    }
    open.delete(member);
    return undefined;
  };
  try {
    return visit(value, '');
  } catch {
    return undefined;
  }
}
