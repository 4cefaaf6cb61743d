import pg from 'pg';
import { RawJson } from '../../sql/values.js';
import { toRfc3339 } from '../cli/format/time.js';

type Parser = (text: string) => unknown;

const raw: Parser = (text) => new RawJson(text);

function whole(text: string): number | bigint {
  const number = Number(text);
  return Number.isSafeInteger(number) ? number : BigInt(text);
}

/** NaN and the infinities have no JSON number. */
const numeric: Parser = (text) => (/^-?[\d.]+$/.test(text) ? new RawJson(text) : text);

const text: Parser = (value) => value;

/** By the type's oid; src/sql/values.ts tells what each becomes. */
const parsers = new Map<number, Parser>([
  [114, raw],
  [3802, raw],
  [1700, numeric],
  [20, whole],
  [1184, toRfc3339],
  [1114, text],
  [1082, text],
  [1186, text],
  [17, text],
]);

/** For pg's `types`: takes values from the server without losing a digit. */
export const losslessTypes = {
  getTypeParser(oid: number, format?: 'text' | 'binary'): Parser {
    return parsers.get(oid) ?? (pg.types.getTypeParser(oid, format ?? 'text') as Parser);
  },
};
