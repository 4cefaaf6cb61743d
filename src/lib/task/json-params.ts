/**
 * JSON from the command line: `k=v` (a string), `k:=json` (any value), `a.b.c=v` (nested), on top of a base that is given
 * whole (`--params JSON`, `@file`, `-` for standard input). Values stay the text that was typed: no digit is lost.
 */
import { readFileSync } from 'node:fs';
import { usageError } from '../cli/errors.js';
import { jsonTokens } from '../cli/format/json.js';
import type { Io } from '../cli/io.js';

/** The members of an object in their order, each value as its JSON text. */
type Members = [key: string, text: string][];

/** Splits the text of a valid JSON object into its members, one level deep. */
export function splitObject(text: string): Members {
  const members: Members = [];
  let depth = 0;
  let key: string | undefined;
  let start = 0;
  for (const [part, index] of jsonTokens(text)) {
    if (depth === 1 && key !== undefined && (part === ',' || part === '}')) {
      members.push([key, text.slice(start, index).trim()]);
      key = undefined;
    } else if (depth === 1 && key === undefined && part.startsWith('"')) {
      key = JSON.parse(part) as string;
    } else if (depth === 1 && part === ':') {
      start = index + 1;
    }
    if (part === '{' || part === '[') depth++;
    if (part === '}' || part === ']') depth--;
  }
  return members;
}

const joinObject = (members: Members): string =>
  `{${members.map(([key, text]) => `${JSON.stringify(key)}:${text}`).join(',')}}`;

/** Puts a value at a path, making the objects on the way. A value on the way that is not an object is a usage error. */
function put(object: string, path: readonly string[], value: string, typed: string): string {
  const [key = '', ...rest] = path;
  const members = splitObject(object);
  const at = members.findLastIndex(([name]) => name === key);
  const inner = at < 0 ? '{}' : (members[at]?.[1] ?? '{}');
  if (rest.length > 0 && !inner.startsWith('{')) {
    throw usageError(`"${typed}" goes into "${key}", which is ${inner} already and not an object`);
  }
  const text = rest.length === 0 ? value : put(inner, rest, value, typed);
  if (at < 0) members.push([key, text]);
  else members[at] = [key, text];
  return joinObject(members);
}

/** Checks that a text is JSON and returns it trimmed; `what` names it in the error. */
function requireJson(text: string, what: string): string {
  try {
    JSON.parse(text);
  } catch (error) {
    const reason = error instanceof Error ? error.message.replace(/, (?:\.\.\.)?"[^]*is not valid JSON$/, '') : '';
    throw usageError(
      `${what} is not valid JSON${reason ? `: ${reason}` : ''}`,
      what.includes('-P ') || what.includes('-H ')
        ? 'KEY=VALUE sends a text; after KEY:= comes JSON, where texts stand in double quotes'
        : `strings need double quotes inside: '{"name": "value"}'`,
    );
  }
  return text.trim();
}

/** Takes `a.b:=1` apart. `\.` in a name is a dot that does not nest. */
function readAssignment(typed: string, flag: string): { path: string[]; value: string } {
  const equals = typed.indexOf('=');
  const isJson = typed[equals - 1] === ':';
  const name = typed.slice(0, isJson ? equals - 1 : equals);
  if (equals < 0 || name === '') {
    throw usageError(`${flag} "${typed}" is not an assignment`, `write ${flag} name=text or ${flag} name:=json`);
  }
  const path = name.split(/(?<!\\)\./).map((part) => part.replaceAll('\\.', '.'));
  if (path.includes('')) throw usageError(`${flag} "${typed}" has an empty name between its dots`);
  const text = typed.slice(equals + 1);
  return { path, value: isJson ? requireJson(text, `The value of ${flag} ${name}`) : JSON.stringify(text) };
}

async function readAll(io: Io): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const chunk of io.stdin) chunks.push(Buffer.from(chunk as Buffer | string));
  return Buffer.concat(chunks).toString('utf8');
}

/**
 * The JSON text that a flag gives: itself, a file's (`@file`), or standard input's (`-`, refused on a terminal, where
 * nothing should hang). Raises a usage error where it is no JSON or cannot be read.
 */
async function readJsonFlag(io: Io, given: string, flag: string): Promise<string> {
  let text = given;
  if (given === '-') {
    if (io.inTty) throw usageError(`${flag} - reads JSON from a pipe, and standard input is a terminal`);
    text = await readAll(io);
  } else if (given.startsWith('@')) {
    try {
      text = readFileSync(given.slice(1), 'utf8');
    } catch (error) {
      throw usageError(`${flag} ${given} cannot be read: ${error instanceof Error ? error.message : String(error)}`);
    }
  }
  return requireJson(text.replace(/^\ufeff/, ''), given === text ? flag : `${flag} ${given}`);
}

export interface JsonFlags {
  /** The base as typed: JSON, `@file` or `-`. */
  base?: string;
  /** Assignments, applied in their order. */
  assignments?: readonly string[];
  /** The flags' names, for errors: `--params`, `-P`. */
  baseFlag: string;
  assignmentFlag: string;
  /** Refuse a base that is not an object even without assignments. */
  mustBeObject?: boolean;
}

/** The JSON text of a base and its assignments; `{}` when nothing is given. */
export async function readJsonFlags(io: Io, flags: JsonFlags): Promise<string> {
  const { base, assignments = [], baseFlag, assignmentFlag, mustBeObject = false } = flags;
  let json = base === undefined ? '{}' : await readJsonFlag(io, base, baseFlag);
  if ((assignments.length > 0 || mustBeObject) && !json.startsWith('{')) {
    const reason = mustBeObject ? '' : `, so ${assignmentFlag} cannot add to it`;
    throw usageError(`${baseFlag} is not a JSON object${reason}`, `write ${baseFlag} '{"name": "value"}'`);
  }
  for (const typed of assignments) {
    const { path, value } = readAssignment(typed, assignmentFlag);
    json = put(json, path, value, typed);
  }
  return json;
}
