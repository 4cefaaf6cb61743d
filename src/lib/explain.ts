/** From what was thrown to what the user reads, with a look around for what was probably meant. */
import type { Command } from '@oclif/core/command';
import { inspectSchema, listQueueNames } from '../sql/schema.js';
import type { Database } from './connection/database.js';
import { CliError, errorCode, exit, notFound, toCliError, usageError } from './errors.js';
import { harmless } from './format/text.js';
import { nearest } from './nearest.js';

/** A wrong command line as a CliError: oclif's message without its footer, the nearest flag, where to read more. */
export function parseError(error: unknown, command: typeof Command, argv: string[]): CliError {
  if (!(error instanceof Error) || error instanceof CliError) return toCliError(error);
  const id = command.id ?? '';
  const message = error.message.replace(/\nSee more help with --help$/, '').trim();
  const unknown = /^Nonexistent flags?: (--?[^\s,]+)/.exec(message)?.[1];
  if (unknown !== undefined) {
    const flags = Object.keys({ ...command.baseFlags, ...command.flags });
    const meant = nearest(unknown.replace(/^-+/, '').split('=')[0] ?? '', flags);
    const hint = meant === undefined ? `absurdctl ${id} --help lists the flags` : `did you mean --${meant}?`;
    return usageError(`There is no flag ${unknown} here`, hint);
  }
  const choice = /^Expected (.+) to be one of: (.+)$/m.exec(message);
  if (choice) {
    const typed = /(?:=|\s)?([^\s=]*)$/.exec(choice[1] ?? '')?.[1] ?? '';
    const meant = nearest(typed, (choice[2] ?? '').split(', '));
    return usageError(message, meant === undefined ? `absurdctl ${id} --help` : `did you mean ${meant}?`);
  }
  const dashed = argv.find((word) => /^-[^-]/.test(word));
  const more =
    dashed !== undefined && message.startsWith('Unexpected arg')
      ? `; put -- before a name that starts with a dash`
      : '';
  // oclif's words have lines of their own (a list of what is missing); what they repeat of the command line must have none.
  const typed = argv.flatMap((word) => [word, word.slice(word.indexOf('=') + 1), word.slice(2)]);
  const plain = typed.reduce((text, word) => (/\n/.test(word) ? text.replaceAll(word, harmless(word)) : text), message);
  const hint = `absurdctl ${id} --help${more}`;
  return new CliError(plain, { exitCode: exit.usage, code: 'usage', hint, lines: true });
}

/** Words of a message about a queue that is not there. */
export function unknownQueue(queue: string, known: readonly string[]): CliError {
  const meant = nearest(queue, known);
  const list =
    known.length <= 10 ? known.map((name) => `"${name}"`).join(', ') : `${known.length} (absurdctl list-queues)`;
  const there =
    known.length === 0
      ? 'there are no queues yet: absurdctl create-queue NAME'
      : known.length <= 10
        ? `the queues are ${list}`
        : `there are ${list}`;
  const hint = meant === undefined ? there : `did you mean "${meant}"?`;
  return notFound(`There is no queue "${queue}"`, hint, 'queue_not_found');
}

/**
 * Turns an error into what the user reads. Where something was not found, one more question finds out what is missing: the
 * schema, the queue that was named, or a function that only a newer schema has.
 */
export async function explainError(
  error: unknown,
  database: Database | undefined,
  queue: string | undefined,
): Promise<CliError> {
  const plain = toCliError(error);
  const state = errorCode(error);
  if (error instanceof CliError || database === undefined) return plain;
  if (state === undefined || !['P0002', '42P01', '42883', '3F000', '42501', '22023'].includes(state)) return plain;
  try {
    const schema = await database.read(inspectSchema);
    if (!schema.installed) {
      return new CliError(`The database "${schema.database}" has no Absurd schema`, {
        exitCode: exit.unreachable,
        code: 'schema_missing',
        hint: 'absurdctl init installs it; --database names another database',
        cause: error,
      });
    }
    if (state === '42883' && schema.revision === null) {
      return new CliError(
        `The schema of "${schema.database}" (${schema.version ?? 'unknown version'}) is too old for this: ${plain.message}`,
        {
          exitCode: exit.unreachable,
          code: 'schema_too_old',
          hint: 'absurdctl init brings what is missing; data and running workers are kept',
          cause: error,
        },
      );
    }
    if (queue === undefined || state === '42501') return plain;
    const known = await database.read(listQueueNames);
    return known.includes(queue) ? plain : unknownQueue(queue, known);
  } catch {
    return plain;
  }
}
