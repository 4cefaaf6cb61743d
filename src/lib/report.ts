import type { CliError } from './errors.js';
import { toJson } from './format/json.js';
import { harmless } from './format/text.js';
import type { Io } from './io.js';

/** Says an error on standard error: for people, or as one JSON object of code, message and hint. */
export function reportError(io: Io, { code, message, hint }: CliError, asJson: boolean): void {
  if (asJson) {
    io.err(`${toJson({ code, message, hint: hint ?? null })}\n`);
    return;
  }
  // Ctrl-C needs no words, unless there is something to say of how to go on.
  if (code === 'interrupted' && hint === undefined) return;
  // Only oclif's words about a wrong command line have lines of their own; elsewhere a line break is part of some name.
  io.err(`Error: ${harmless(message, { lines: code === 'usage' })}\n`);
  if (hint) io.err(`Hint: ${harmless(hint)}\n`);
}
