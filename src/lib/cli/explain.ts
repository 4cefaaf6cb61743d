/** Turns an error into one for the user, and looks for similar names that exist. */
import { readStatementTimeout } from '../../sql/server-facts.js';
import { inspectSchema, listQueueNames, type SchemaState } from '../../sql/schema.js';
import type { Database } from '../connection/database.js';
import { readFiltered } from '../../sql/row-security.js';
import { readStanding } from '../../sql/grants.js';
import { CliError, errorCode, exit, notFound, refused, toCliError } from './errors.js';
import { adviseRights } from '../grants/advice.js';
import { filteredHint } from '../grants/hint.js';
import type { Need } from '../grants/kinds.js';
import { command as typed, hint as advise, type Advice } from './hint.js';
import { flagOfFault } from '../task/retry-strategy.js';
import { nearest } from './nearest.js';

/** Matches messages about a queue that does not exist. */
export function unknownQueue(queue: string, known: readonly string[]): CliError {
  const suggestion = nearest(queue, known);
  const there =
    known.length === 0
      ? advise`there are no queues yet: ${typed('create-queue', 'NAME')}`
      : known.length <= 10
        ? `the queues are ${known.map((name) => `"${name}"`).join(', ')}`
        : advise`there are ${known.length} (${typed('list-queues')})`;
  const hint: Advice = suggestion === undefined ? there : `did you mean "${suggestion}"?`;
  return notFound(`There is no queue "${queue}"`, hint, 'queue_not_found');
}

/** The context of an error. */
export interface Asked {
  queue: string | undefined;
  /** What the command line needs. */
  need: Need | undefined;
  /** The command's name. */
  command: string;
}

/**
 * Turns an error into one for the user. If something was not found, it checks what is missing: the schema, the named
 * queue, or a function of a newer schema. If something was not permitted, or the server refuses writes, it checks the
 * role and the server.
 */
export async function explainError(error: unknown, database: Database | undefined, asked: Asked): Promise<CliError> {
  const plain = named(toCliError(error), error, asked.command);
  if (database === undefined) return plain;
  try {
    if (plain.code === 'not_permitted') return await notPermitted(plain, database, asked);
    if (plain.code === 'statement_timeout') return await outOfTime(plain, database);
    if (plain.code === 'read_only') return await readOnly(plain, database);
    if (plain.code === 'schema_missing') return noSchema(await database.read(inspectSchema), error) ?? plain;
    if (plain.exitCode === exit.notFound) {
      const hidden = await database.read(readFiltered);
      // The object may exist but be hidden: suggest nothing.
      if (hidden) return withHint(plain, filteredHint(hidden, asked.command));
    }
    return error instanceof CliError ? plain : await missing(error, plain, database, asked.queue);
  } catch {
    return plain;
  }
}

const withHint = ({ message, exitCode, code, cause }: CliError, hint: Advice): CliError =>
  new CliError(message, { exitCode, code, cause, hint });

/** Names the flag of `spawn-task` for a retry strategy that the server refused. */
function named(plain: CliError, error: unknown, command: string): CliError {
  const flag = command === 'spawn-task' && errorCode(error) === 'AB003' ? flagOfFault(plain.message) : undefined;
  if (flag === undefined) return plain;
  const { message, exitCode, code, hint, cause } = plain;
  return new CliError(`${flag}: ${message}`, { exitCode, code, hint, cause });
}

async function notPermitted(plain: CliError, database: Database, { need, queue }: Asked): Promise<CliError> {
  // Commands that install the schema or grant rights report the missing part themselves.
  if (plain.hint !== undefined && need === 'owner') return plain;
  const { message, exitCode, code, cause } = plain;
  const right = await database.read((db) => adviseRights(db, need, queue));
  const hint = plain.hint === undefined ? right : advise`${right}; then ${plain.hint}`;
  return new CliError(message, { exitCode, code, cause, hint });
}

/** A statement timeout of the role itself does not indicate a lock: report the setting and its source. */
async function outOfTime(plain: CliError, database: Database): Promise<CliError> {
  if (database.stoppedByOwnLimit) return plain;
  const found = await readStatementTimeout(database);
  if (found === undefined) return plain;
  const { message, exitCode, code, cause } = plain;
  const hint = `statement_timeout is ${found.value} (${found.origin}); PGOPTIONS='-c statement_timeout=0' overrides it`;
  return new CliError(message, { exitCode, code, cause, hint });
}

async function readOnly({ message, code }: CliError, database: Database): Promise<CliError> {
  const { standby } = await database.read(readStanding);
  return standby
    ? refused(
        `This server is a standby and accepts no writes: ${message}`,
        'connect to the primary (-h, or several hosts in a URI that ends in ?target_session_attrs=read-write)',
        code,
      )
    : refused(
        `This connection may only read: ${message}`,
        `default_transaction_read_only is on for this role or database; PGOPTIONS='-c default_transaction_read_only=off' overrides it`,
        code,
      );
}

function noSchema(schema: SchemaState, cause: unknown): CliError | undefined {
  if (schema.installed) return undefined;
  return new CliError(`The database "${schema.database}" has no Absurd schema`, {
    exitCode: exit.unreachable,
    code: 'schema_missing',
    hint: advise`${typed('init')} installs it; --database names another database`,
    cause,
  });
}

async function missing(
  error: unknown,
  plain: CliError,
  database: Database,
  queue: string | undefined,
): Promise<CliError> {
  const state = errorCode(error);
  if (state === undefined || !['P0002', '42P01', '42703', '42883', '3F000', '22023'].includes(state)) return plain;
  const schema = await database.read(inspectSchema);
  const none = noSchema(schema, error);
  if (none !== undefined) return none;
  if ((state === '42883' || state === '42703') && schema.revision === null) {
    return new CliError(
      `The schema of "${schema.database}" (${schema.version ?? 'unknown version'}) is too old for this: ${plain.message}`,
      {
        exitCode: exit.unreachable,
        code: 'schema_too_old',
        hint: advise`${typed('init')} upgrades it; data and running workers are kept`,
        cause: error,
      },
    );
  }
  if (queue === undefined) return plain;
  const known = await database.read(listQueueNames);
  return known.includes(queue) ? plain : unknownQueue(queue, known);
}
