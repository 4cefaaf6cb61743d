import type { CliError } from './errors.js';
import { adviceText, type Place } from './hint.js';
import { toJson } from './format/json.js';
import { harmless, harmlessJson } from './format/text.js';
import type { Io } from './io.js';

/**
 * Prints an error on standard error: as text, or as one JSON object of code, message and hint. In the text, commands
 * of the hint include `place`, so that they reach the same database.
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
  // Ctrl-C prints nothing, unless there is a hint on how to continue.
  if (code === 'interrupted' && hint === undefined) return;
  // If the message is not multi-line by design, a line break belongs to some name: escape it.
  io.err(`Error: ${harmless(message, { lines })}\n`);
  if (hint) io.err(`Hint: ${harmless(adviceText(hint, place))}\n`);
}
