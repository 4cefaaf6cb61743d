import * as Flags from '@oclif/core/flags';
import { usageError, type CliError } from './errors.js';

/** Bounds of a flag. Defaults: `min` 0, no `max`. */
type Range = { min?: number; max?: number };

/** An empty value usually comes from an unset shell variable. */
export const emptyError = (what: string): CliError =>
  usageError(`${what} is empty`, 'is a shell variable unset? Omit the flag to use its default');

function readNumber(what: string, text: string, { min = 0, max = Infinity }: Range): number {
  const number = Number(text);
  if (text.trim() === '' || !Number.isFinite(number) || number < min || number > max) {
    throw usageError(`${what} from ${min}${max === Infinity ? '' : ` to ${max}`}, not "${text}"`);
  }
  return number;
}

/** A number of seconds, fractions too, within `min` and `max`. */
export const secondsFlag = Flags.custom<number, Range>({
  helpValue: 'SECONDS',
  parse: async (text, _context, options) => readNumber(`--${options.name} takes a number of seconds`, text, options),
});

/** A whole number within `min` and `max`. */
export const wholeNumberFlag = Flags.custom<number, Range>({
  parse: async (text, _context, options) => {
    if (text === '') throw emptyError(`--${options.name}`);
    const what = `--${options.name} takes a whole number`;
    const number = readNumber(what, text, options);
    if (!/^[+-]?\d+$/.test(text) || !Number.isSafeInteger(number)) throw usageError(`${what}, not "${text}"`);
    return number;
  },
});

/** A number without a unit, fractions too, within `min` and `max`. */
export const numberFlag = Flags.custom<number, Range>({
  helpValue: 'NUMBER',
  parse: async (text, _context, options) => readNumber(`--${options.name} takes a number`, text, options),
});

export const redactFlag = Flags.string({
  multiple: true,
  multipleNonGreedy: true,
  helpValue: 'PATH',
  description: 'mask this member: params.card.number, checkpoints.state.*, **.token; may be repeated',
});
