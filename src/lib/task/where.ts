/** Reads `--where`: `params.order=42`, `result.total>100`, `headers."odd.key" exists`, `failure.message~/timeout/i`. */
import { whereRoots, type WhereCondition, type WhereRoot } from '../../sql/where.js';
import { usageError } from '../cli/errors.js';
import { nearest } from '../cli/nearest.js';

const example = `such as 'params.order=42', 'result.total>100', 'headers."odd.key" exists' or 'failure.message~/timeout/i'`;

const operator = /^\s*(!=|>=|<=|=|>|<|~)\s?/;

/** Raises a usage error that says what is wrong with which condition. */
export function parseWhere(typed: string, flag = '--where'): WhereCondition {
  const wrong = (why: string): Error => usageError(`${flag} '${typed}': ${why}`, example);
  if (typed.includes('\0')) throw wrong('it holds a NUL character');
  const { keys, rest } = readPath(typed, wrong);
  const [root, ...path] = keys;
  if (root === undefined || !isRoot(root)) {
    const suggestion = root === undefined ? undefined : nearest(root, [...whereRoots]);
    throw wrong(
      `it must begin with ${whereRoots.slice(0, -1).join(', ')} or ${whereRoots.at(-1) ?? ''}${suggestion === undefined ? '' : `; did you mean ${suggestion}?`}`,
    );
  }
  if (/^\s+exists\s*$/i.test(rest)) return { root, path, how: 'exists' };
  const [whole, how] = operator.exec(rest) ?? [];
  if (whole === undefined || how === undefined) throw wrong('after the path comes =, !=, >, >=, <, <=, ~ or exists');
  const value = rest.slice(whole.length);
  if (how === '~') return { root, path, ...readPattern(value, wrong) };
  const { texts, type } = readValue(value, wrong);
  if (how === '=' || how === '!=') return { root, path, how, json: texts };
  const [first = ''] = texts;
  if (type === 'other') throw wrong(`${how} compares numbers and text, and ${value} is neither`);
  return { root, path, how: how as '>' | '>=' | '<' | '<=', json: first, type };
}

const isRoot = (text: string): text is WhereRoot => whereRoots.some((root) => root === text);

/** Names with dots between them; one that holds a dot, a blank or an operator is written as a JSON string. */
function readPath(typed: string, wrong: (why: string) => Error): { keys: string[]; rest: string } {
  const keys: string[] = [];
  let rest = typed.trimStart();
  for (;;) {
    const [quoted] = /^"(?:[^"\\]|\\.)*"/.exec(rest) ?? [];
    const [bare] = quoted === undefined ? (/^[^.\s"=!<>~]+/.exec(rest) ?? []) : [];
    const key = quoted ?? bare;
    if (key === undefined)
      throw wrong(keys.length === 0 ? 'it names nothing to look at' : 'a name is missing after a dot');
    keys.push(quoted === undefined ? key : readString(quoted, wrong));
    rest = rest.slice(key.length);
    if (!rest.startsWith('.')) return { keys, rest };
    rest = rest.slice(1);
  }
}

function readString(quoted: string, wrong: (why: string) => Error): string {
  try {
    const text = String(JSON.parse(quoted));
    if (text.includes('\0')) throw new Error('NUL');
    return text;
  } catch {
    throw wrong(`${quoted} is not a JSON string that can be stored`);
  }
}

/** As for --error: a part of the text, or an expression between slashes. */
function readPattern(
  value: string,
  wrong: (why: string) => Error,
): { how: 'contains' | 'matches' | 'matches-any-case'; text: string } {
  if (value === '') throw wrong('nothing follows ~');
  const [, expression, flag] = /^\/(.+)\/(i?)$/s.exec(value) ?? [];
  if (expression !== undefined) return { how: flag === 'i' ? 'matches-any-case' : 'matches', text: expression };
  return { how: 'contains', text: value.startsWith('"') && value.endsWith('"') ? readString(value, wrong) : value };
}

/** Numbers within what numeric can hold, with every digit. */
const number = /^-?(0|[1-9]\d{0,999})(\.\d{1,999})?([eE][+-]?\d{1,3})?$/;

/**
 * A word is text, and what it is as JSON too: 42 finds the number and the text, for nobody knows at night which of them was stored.
 * Text in quotes is text alone.
 */
function readValue(
  value: string,
  wrong: (why: string) => Error,
): { texts: string[]; type: 'number' | 'string' | 'other' } {
  if (number.test(value)) return { texts: [value, JSON.stringify(value)], type: 'number' };
  if (['true', 'false', 'null'].includes(value)) return { texts: [value, JSON.stringify(value)], type: 'other' };
  if (value.startsWith('"')) return { texts: [JSON.stringify(readString(value, wrong))], type: 'string' };
  if (/^[[{]/.test(value)) {
    try {
      JSON.parse(value);
    } catch {
      throw wrong(`${value} is not JSON`);
    }
    if (/\\u0000/.test(value)) throw wrong('it holds a NUL character');
    return { texts: [value], type: 'other' };
  }
  return { texts: [JSON.stringify(value)], type: 'string' };
}
