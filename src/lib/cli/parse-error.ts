/** Rephrases oclif's error about a wrong command line: one line, and where to read more. */
import type { CommandAbout } from './declaration.js';
import { CliError, toCliError, usageError } from './errors.js';
import { harmless } from './format/text.js';
import { command as typed, hint as advise } from './hint.js';
import { nearest } from './nearest.js';
import type { Mode } from './output.js';

/** Errors about combinations of flags: oclif's text, then ours. */
const combinations: [RegExp, string][] = [
  [/^(--\S+?)(?:=[^]*)? cannot also be provided when using (--\S+)$/, 'Use either $2 or $1, not both'],
  [/^All of the following must be provided when using (--\S+): ([^]*)$/, '$1 requires $2'],
  [/^Missing required flag (\S+)$/, '--$1 is missing'],
];

function rephrase(reason: string): string {
  for (const [theirs, ours] of combinations) if (theirs.test(reason)) return reason.replace(theirs, ours);
  return reason;
}

/**
 * The message without oclif's footer. Its note about flags with several values does not apply: each takes one value.
 */
const plainMessage = ({ message }: Error): string =>
  message.replace(/\n\nNote: [^]*$|\nSee more help with --help$/, '').trim();

/** Words of the command line must not start new lines in the message. */
function withoutTypedLines(message: string, argv: readonly string[]): string {
  const said = argv.flatMap((word) => [word, word.slice(word.indexOf('=') + 1), word.slice(2)]);
  return said.reduce((text, word) => (/\n/.test(word) ? text.replaceAll(word, harmless(word)) : text), message);
}

interface Missing {
  args?: { name: string; description?: string }[];
}

function missingArguments(error: Error): string {
  const args = (error as Missing).args ?? [];
  const named = args.map(({ name, description }) => name.toUpperCase() + (description ? ` (${description})` : ''));
  return `Missing argument${named.length === 1 ? '' : 's'} ${named.join(', ')}`;
}

/** A wrong command line as a CliError: one line, the nearest flag, and where to read more. */
export function parseError(error: unknown, command: CommandAbout, argv: string[]): CliError {
  if (!(error instanceof Error)) return toCliError(error);
  // oclif wraps the message of an error that a flag of ours has thrown.
  if (error instanceof CliError) {
    error.message = error.message.replace(/^Parsing --\S+ \n\t|\nSee more help with --help$/g, '');
    return error;
  }
  const help = typed(command.id, { help: true });
  const message = plainMessage(error);
  const unknown = /^Nonexistent flags?: (--?[^\s,]+)/.exec(message)?.[1];
  if (unknown !== undefined) {
    const flags = Object.keys({ ...command.baseFlags, ...command.flags });
    const suggestion = nearest(unknown.replace(/^-+/, '').split('=')[0] ?? '', flags);
    const hint = suggestion === undefined ? advise`${help} lists the flags` : `did you mean --${suggestion}?`;
    return usageError(`There is no flag ${unknown} here`, hint);
  }
  const plain = withoutTypedLines(message, argv);
  const choice = /^Expected (?:(--[\w-]+)=)?([^]*) to be one of: (.+)$/.exec(plain);
  if (choice) {
    const [, flag, value = '', choices = ''] = choice;
    const suggestion = nearest(value, choices.split(', '));
    const taken = `${choices.includes(', ') ? 'one of ' : ''}${choices}`;
    const text = flag === undefined ? `"${value}" is not ${taken}` : `${flag} takes ${taken}, not "${value}"`;
    return usageError(text, suggestion === undefined ? help : `did you mean ${suggestion}?`);
  }
  if (message.startsWith('Missing') && message.includes(' required arg')) {
    return usageError(missingArguments(error), help);
  }
  const reasons = /^The following errors? occurred:\n([^]*)$/.exec(plain)?.[1];
  if (reasons !== undefined) {
    return usageError(
      reasons
        .split('\n')
        .map((reason) => rephrase(reason.trim()))
        .join('; '),
      help,
    );
  }
  const dashed = argv.find((word) => /^-[^-]./.test(word));
  const more =
    dashed !== undefined && message.startsWith('Unexpected arg')
      ? `; put -- before a name that starts with a dash`
      : '';
  return usageError(plain.replace(/\s*\n\s*/g, ' '), advise`${help}${more}`);
}

/** Whether a command line asks for JSON, also where its flags cannot be parsed. `mode` is the format if they can. */
export function asksForJson(argv: readonly string[], mode: Mode): boolean {
  const flags = argv.slice(0, argv.includes('--') ? argv.indexOf('--') : undefined);
  return (
    mode === 'json' ||
    mode === 'ndjson' ||
    flags.includes('--json') ||
    /(^| )(-o|--output)[ =]?(nd)?json( |$)/.test(flags.join(' '))
  );
}
