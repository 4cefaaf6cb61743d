import * as Flags from '@oclif/core/flags';
import { usageError } from './errors.js';

/** A number of seconds, fractions too, not below `min` (0). */
export const secondsFlag = Flags.custom<number, { min?: number }>({
  helpValue: 'SECONDS',
  parse: async (text, _context, { min = 0, name }) => {
    const seconds = Number(text);
    if (text.trim() === '' || !Number.isFinite(seconds) || seconds < min) {
      throw usageError(`--${name} takes a number of seconds from ${min}, not "${text}"`);
    }
    return seconds;
  },
});

export const redactFlag = Flags.string({
  multiple: true,
  multipleNonGreedy: true,
  helpValue: 'PATH',
  description: 'mask this member: params.card.number, checkpoints.state.*, **.token; may be repeated',
});
