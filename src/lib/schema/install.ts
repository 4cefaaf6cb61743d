/** Installs or upgrades the schema: what `init` does, and what the embedded server's first start needs. */
import { inspectSchema, runSchemaScript, type SchemaState } from '../../sql/schema.js';
import type { Queryable } from '../../sql/queryable.js';
import type { Database, Touched } from '../connection/database.js';
import { CliError, errorCode, exit } from '../cli/errors.js';
import { readSchemaScript } from './schema-file.js';
import { command, hint } from '../cli/hint.js';

/** PostgreSQL 14, as server_version_num. */
const oldestServer = 140_000;
/** An upgrade that must wait for a lock lets workers pass in between: short waits, several times. */
const lockTimeoutMs = 2000;
const attempts = 10;
const breakMs = 500;

export interface Installation {
  database: string;
  action: 'installed' | 'upgraded' | 'unchanged';
  /** What was there before; null when there was nothing, or no version in it. */
  previous_version: string | null;
  previous_revision: number | null;
  version: string | null;
  revision: number | null;
}

function action(before: SchemaState, after: SchemaState): Installation['action'] {
  if (!before.installed) return 'installed';
  return before.version === after.version && before.revision === after.revision ? 'unchanged' : 'upgraded';
}

/**
 * Runs sql/absurd.sql in one transaction, with a short lock timeout and up to ten attempts. `onRetry` hears why another
 * one is needed; `differs` says that there is something to change in a schema of the same version. Raises CliError: exit 5 for a server that is too old, 1 for a role that may not or a lock that stays.
 */
export async function install(
  db: Database,
  pause: (ms: number) => Promise<void>,
  onRetry: (reason: string) => void = () => undefined,
  differs = false,
): Promise<Installation> {
  const before = await db.read(inspectSchema);
  if (before.server < oldestServer) {
    throw new CliError(`This server is PostgreSQL ${Math.floor(before.server / 10_000)}; Absurd needs 14 or newer`, {
      exitCode: exit.unreachable,
      code: 'server_too_old',
      hint: hint`name a newer one with --database, or try ${command('dev')}`,
    });
  }
  const script = readSchemaScript();
  for (let attempt = 1; ; attempt++) {
    try {
      const work = async (transaction: Queryable): Promise<SchemaState> => {
        await runSchemaScript(transaction, script);
        return inspectSchema(transaction);
      };
      const touched = (after: SchemaState): Touched[] => (differs || action(before, after) !== 'unchanged' ? [{}] : []);
      await db.transaction(work, { lockTimeoutMs, touched });
      break;
    } catch (error) {
      const state = errorCode(error) ?? '';
      if (state === '42501') throw mayNot(error, before);
      if (state === '53200') throw tooManyLocks(error);
      if (!['55P03', '40P01', '40001'].includes(state) || attempt === attempts) throw error;
      onRetry(error instanceof Error ? error.message : state);
      await pause(breakMs);
    }
  }
  const after = await db.read(inspectSchema);
  return {
    database: after.database,
    action: action(before, after),
    previous_version: before.version,
    previous_revision: before.revision,
    version: after.version,
    revision: after.revision,
  };
}

/** An upgrade of many old queues in one transaction needs more locks than the server has room for. */
const tooManyLocks = (cause: unknown): CliError =>
  new CliError('The server cannot hold the locks that this upgrade needs in one transaction', {
    code: 'too_many_locks',
    hint: hint`${command('migrate')} upgrades one table at a time; a larger max_locks_per_transaction also helps`,
    cause,
  });

function mayNot(error: unknown, { database, installed }: SchemaState): CliError {
  const reason = error instanceof Error ? error.message : String(error);
  return new CliError(`This role may not ${installed ? 'upgrade' : 'install'} the schema in "${database}": ${reason}`, {
    code: 'not_permitted',
    // Whose schema it is, the base command finds out.
    hint: installed
      ? undefined
      : `connect as another role (-U), or: grant create on database "${database.replaceAll('"', '""')}" to this one`,
    cause: error,
  });
}
