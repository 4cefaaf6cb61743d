import type { CliError } from './errors.js';
import { adviceText, type Place } from './hint.js';
import { toJson } from './format/json.js';
import { harmless, harmlessJson } from './format/text.js';
import type { Io } from './io.js';

/**
 * Says an error on standard error: for people, or as one JSON object of code, message and hint. Commands in a hint
 * name `place`, for people, so that they reach the same database.
 */
export function reportError(
  io: Io,
  { code, message, hint, lines }: CliError,
  asJson: boolean,
  place: Place = {},
): void {
  if (asJson) {
    const json = toJson({ code, message, hint: hint ?? null });
    io.err(`${io.errTty ? harmlessJson(json) : json}\n`);
    return;
  }
  // Ctrl-C needs no words, unless there is something to say of how to go on.
  if (code === 'interrupted' && hint === undefined) return;
  // Where the message is not laid out over lines, a line break in it is part of some name.
  io.err(`Error: ${harmless(message, { lines })}\n`);
  if (hint) io.err(`Hint: ${harmless(adviceText(hint, place))}\n`);
}
