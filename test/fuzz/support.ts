/** What all fuzzing shares: a seed that is always the same unless chosen, runs that can be raised, and arbitrary texts. */
import fc from 'fast-check';
import { expect } from '../support/database.js';
import type { RunResult } from '../support/command.js';

/** ABSURD_FUZZ_RUNS multiplies the number of runs of every property; ABSURD_FUZZ_SEED starts elsewhere. */
const factor = Number(process.env['ABSURD_FUZZ_RUNS'] ?? 1);
const seed = Number(process.env['ABSURD_FUZZ_SEED'] ?? 20_261_125);

/** fast-check prints seed and path of a failure; ABSURD_FUZZ_SEED with that seed repeats it. */
export const settings = (runs: number): { seed: number; numRuns: number; endOnFailure: boolean } => ({
  seed,
  numRuns: Math.max(1, Math.round(runs * factor)),
  // Shrinking asks the server again and again; the first counterexample is printed as it is.
  endOnFailure: true,
});

/** Time for a test whose properties run longer when more runs are asked for. */
export const timeout = 60_000 * Math.max(1, factor) + 60_000;

const documented = [0, 1, 2, 3, 4, 5, 6, 7, 130];

/** What holds for every command line: an exit code that is documented, no trace of our own code, one error in one form. */
export function sane(argv: readonly string[], { code, stdout, stderr }: RunResult, allowed = documented): void {
  const what = `${JSON.stringify(argv)} ended with ${code}\n${stdout.slice(0, 500)}\n${stderr.slice(0, 2000)}`;
  expect(allowed, what).toContain(code);
  expect(stderr, what).not.toMatch(/\n\s+at .*[:(]\d+|node:internal|\bundefined\b.*\bundefined\b|\[object /);
  expect(stderr, what).not.toMatch(/TypeError|RangeError|ReferenceError|is not a function|Cannot read prop/);
  if (code !== 0 && code !== 1 && code !== 6 && code !== 7) expect(stdout + stderr, what).not.toBe('');
}

/** Pieces that break whoever does not quote, escape or count in bytes. */
const nasty = fc.constantFrom(
  ...["'", '"', '`', '\\', '%', '%s', '%I', '$1', '$$', '$(x)', ';', '--', '-', ' ', '\t', '\n', '\r', '\u001b[2J'],
  ...[
    '\u0085',
    '\u202e',
    '\u200b',
    '\ufeff',
    'é',
    '日本',
    '👩‍🌾',
    '\u{10ffff}',
    '.',
    ':=',
    '=',
    ',',
    '@',
    '*',
    '{',
    ']',
    '/',
    '#',
    '?',
    '&',
  ],
);

/** Any text that an argument of a process can be: no NUL, no half of a surrogate pair. */
export const word = (maxLength = 20): fc.Arbitrary<string> =>
  fc
    .oneof(
      fc.array(fc.oneof(nasty, fc.string({ maxLength: 4 })), { maxLength: 6 }).map((parts) => parts.join('')),
      fc.string({ unit: 'binary', maxLength }),
      fc.string({ unit: 'grapheme', maxLength }),
      fc.string({ maxLength }),
    )
    .map((text) => text.replaceAll('\0', ''));

const bytes = (text: string): number => Buffer.byteLength(text);

/** A legal queue name: 1 to 57 bytes of anything but NUL. */
export const queueName = word().map((text) => {
  let name = '';
  for (const character of text) if (bytes(name + character) <= 57) name += character;
  return name === '' ? 'q' : name;
});

/** A name of a task, step or event: not blank. */
export const name = word(40).map((text) => (text.trim() === '' ? `n${text}` : text));

/** JSON as somebody may type it: numbers of any length, odd keys, deep nesting, blanks between. */
export const jsonText: fc.Arbitrary<string> = fc.letrec<{ value: string }>((tie) => ({
  value: fc.oneof(
    { depthSize: 'small', withCrossShrink: true },
    fc.constantFrom('null', 'true', 'false', '0', '-0', '1e-7', '12345678901234567890.12345678901234567890', '-1.50'),
    fc.bigInt().map(String),
    word().map((text) => JSON.stringify(text)),
    fc.array(tie('value'), { maxLength: 4 }).map((items) => `[${items.join(' ,')}]`),
    fc
      .uniqueArray(fc.tuple(word(8), tie('value')), { maxLength: 4, selector: ([key]) => key })
      .map((members) => `{${members.map(([key, value]) => `${JSON.stringify(key)} : ${value}`).join(',\n')}}`),
  ),
})).value;

export const jsonObject: fc.Arbitrary<string> = fc
  .uniqueArray(fc.tuple(word(8), jsonText), { maxLength: 5, selector: ([key]) => key })
  .map((members) => `{${members.map(([key, value]) => `${JSON.stringify(key)}:${value}`).join(',')}}`);

/**
 * JSON in one form, so that two texts that say the same are equal: keys sorted, numbers by their value to the last digit.
 * JSON.parse would lose digits.
 */
export function canonical(text: string): string {
  let at = 0;
  const value = (): string => {
    const rest = (/^\s*/.exec(text.slice(at))?.[0] ?? '').length;
    at += rest;
    const start = text[at];
    if (start === '{' || start === '[') return group(start);
    const token = /^("(?:[^"\\]|\\.)*"|[^\s,\]}:]+)/s.exec(text.slice(at))?.[0] ?? '';
    at += Math.max(1, token.length);
    if (token.startsWith('"')) return JSON.stringify(JSON.parse(token));
    return /^-?\d/.test(token) ? decimal(token) : token;
  };
  const skip = (): string => {
    while (/\s/.test(text[at] ?? '')) at++;
    return text[at] ?? '';
  };
  const group = (open: string): string => {
    const close = open === '{' ? '}' : ']';
    const items: string[] = [];
    at++;
    while (skip() !== close && at < text.length) {
      if (text[at] === ',') at++;
      let item = value();
      if (open === '{') {
        skip();
        at++;
        item += `:${value()}`;
      }
      items.push(item);
    }
    at++;
    return open + (open === '{' ? items.sort() : items).join(',') + close;
  };
  return value();
}

/** A JSON number without exponent and idle zeros: `-1.50e2` is `-150`. */
function decimal(text: string): string {
  const [, sign = '', whole = '0', fraction = '', exponent = '0'] =
    /^(-?)(\d+)(?:\.(\d+))?(?:e([+-]?\d+))?$/i.exec(text) ?? [];
  const shift = Number(exponent);
  const digits = shift < 0 ? '0'.repeat(-shift) + whole + fraction : whole + fraction + '0'.repeat(shift);
  const point = whole.length + (shift < 0 ? 0 : shift);
  const [before, after] = [digits.slice(0, point).replace(/^0+/, '') || '0', digits.slice(point).replace(/0+$/, '')];
  const number = after === '' ? before : `${before}.${after}`;
  return number === '0' ? '0' : sign + number;
}
