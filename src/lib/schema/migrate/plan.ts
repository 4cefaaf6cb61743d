/** What an upgrade would do: which things change, which steps that takes, and what each of them locks. */
import { randomBytes } from 'node:crypto';
import { compareSchema, type SchemaComparison, type Difference, type DifferenceKind } from '../../../sql/drift.js';
import { listMissingIndexes, type MissingIndex } from '../../../sql/indexes.js';
import { hasWholeRegistry, listLackingTables, type LackingTable } from '../../../sql/migrate.js';
import type { Queryable } from '../../../sql/queryable.js';
import { inspectSchema } from '../../../sql/schema.js';
import type { Database } from '../../connection/database.js';
import { CliError, errorCode } from '../../cli/errors.js';
import { schemaVersion } from '../schema-file.js';
import { builtParts, comparisonParts } from './script.js';
import { planSteps, type Step } from './steps.js';
import { command, hint } from '../../cli/hint.js';

/** A queue with this many rows is no business of one transaction that holds its table. */
export const largeTable = 50_000;

/** Things of one kind that are made or replaced. */
export interface Change {
  /** Null for what belongs to no single queue. */
  queue_name: string | null;
  kind: DifferenceKind | 'partition';
  /** How many are made. */
  made: number;
  /** How many are there and are replaced, or, left over, dropped. */
  replaced: number;
}

export interface MigrationPlan {
  database: string;
  installed: boolean;
  from_version: string | null;
  from_revision: number | null;
  to_version: string;
  /** The revision that the script brings. */
  to_revision: number;
  changes: Change[];
  /** In the order in which they are done. */
  steps: Step[];
  indexes: MissingIndex[];
  /** False where this role or this server could not compare: then `differences`, and what follows from them, are not known. */
  compared: boolean;
  differences: Difference[];
}

/** What the run needs beside what is shown. */
export interface Work {
  registry: boolean;
  tables: LackingTable[];
}

/** Indexes that are missing: what decides whether `init` may do it alone. It looks in the catalogs only. */
export async function findMissingIndexes(db: Database): Promise<MissingIndex[]> {
  return db.read(async (read) => ((await inspectSchema(read)).installed ? listMissingIndexes(read) : []));
}

class Undo extends Error {}

const none: SchemaComparison = { differences: [], partitions: [] };

/** With `lenient`, returns undefined if the role or the server does not allow the comparison. */
async function compareIfAllowed(db: Database, lenient: boolean): Promise<SchemaComparison | undefined> {
  try {
    return await compareAndRollBack(db);
  } catch (error) {
    const cannot = error instanceof CliError && ['not_permitted', 'read_only'].includes(error.code);
    if (lenient && cannot) return undefined;
    throw error;
  }
}

/** Creates the shipped objects under other names, compares, and rolls back. */
async function compareAndRollBack(db: Database): Promise<SchemaComparison> {
  let found: SchemaComparison = { differences: [], partitions: [] };
  try {
    await db.transaction(
      async (transaction) => {
        found = await compareSchema(transaction, comparisonParts(), `~${randomBytes(4).toString('hex')}`);
        throw new Undo();
      },
      { lockTimeoutMs: 5000 },
    );
  } catch (error) {
    if (error instanceof Undo) return found;
    throw cannotCompare(error);
  }
  return found;
}

/** Comparing writes, although nothing of it stays: it takes the owner's rights and a server that can be written to. */
function cannotCompare(error: unknown): unknown {
  const state = errorCode(error);
  const reason = error instanceof Error ? error.message : String(error);
  const instead = hint`${command('doctor')} writes nothing, needs fewer rights and checks less`;
  if (state === '42501') {
    return new CliError(`This role may not compare or upgrade the schema: ${reason}`, {
      // The base says who may.
      code: 'not_permitted',
      cause: error,
    });
  }
  if (state !== '25006') return error;
  return new CliError(`The schema cannot be compared or upgraded here: ${reason}`, {
    code: 'read_only',
    hint: hint`connect to the primary, or to a session that may write; ${instead}`,
    cause: error,
  });
}

/**
 * A plan is for everybody to see, as far as the catalogs tell (`lenient`); comparing takes the owner, and the primary. Raises
 * CliError (not_permitted, read_only) where it cannot compare and has to.
 */
export async function planMigration(db: Database, lenient = false): Promise<{ plan: MigrationPlan; work: Work }> {
  const found = await db.read(async (read) => {
    const state = await inspectSchema(read);
    return { state, ...(await look(read, state.installed)) };
  });
  const { state, indexes, tables, registry } = found;
  // A newer schema is not ours to compare with: the script refuses it, and so does the caller.
  const older = state.installed && (state.revision ?? 0) <= builtParts().revision;
  const compared = older ? await compareIfAllowed(db, lenient) : none;
  const { differences, partitions: weeks } = compared ?? none;
  const script = registry || tables.length > 0 || indexes.length > 0 || differences.some(({ mended }) => mended);
  // Weeks that are missing are no reason to run the script; where it runs, it makes them.
  const partitions = script ? weeks : [];
  return {
    plan: {
      database: state.database,
      installed: state.installed,
      from_version: state.version,
      from_revision: state.revision,
      to_version: schemaVersion,
      to_revision: builtParts().revision,
      changes: countChanges(differences, partitions),
      steps: planSteps({ indexes, tables, registry, differences, partitions }),
      indexes,
      compared: compared !== undefined,
      differences,
    },
    work: { registry, tables },
  };
}

async function look(read: Queryable, installed: boolean): Promise<Work & { indexes: MissingIndex[] }> {
  if (!installed) return { indexes: [], tables: [], registry: false };
  return {
    indexes: await listMissingIndexes(read),
    tables: await listLackingTables(read, builtParts().tableParts),
    registry: !(await hasWholeRegistry(read)),
  };
}

/** Whether the script has nothing to do. What only a person can mend is not counted. */
export const isCurrent = (plan: MigrationPlan): boolean =>
  plan.installed && plan.from_revision === plan.to_revision && plan.steps.length === 0;

function countChanges(differences: Difference[], partitions: SchemaComparison['partitions']): Change[] {
  const changes = new Map<string, Change>();
  for (const { queue_name: queue, kind, change, mended } of differences) {
    if (!mended) continue;
    const key = JSON.stringify([queue, kind]);
    const counted = changes.get(key) ?? { queue_name: queue, kind, made: 0, replaced: 0 };
    changes.set(key, counted);
    if (change === 'missing') counted.made++;
    else counted.replaced++;
  }
  const made = partitions.map(({ queue_name, count }): Change => ({
    queue_name,
    kind: 'partition',
    made: count,
    replaced: 0,
  }));
  return [...changes.values(), ...made];
}

export function describeDifference({ kind, name, change, mended }: Difference): string {
  const is = { missing: 'is missing', differs: 'differs', invalid: 'is invalid', 'left over': 'does not belong' }[
    change
  ];
  const hand = !mended && kind === 'index' ? '; drop it, and migrate builds it' : '; migrate leaves it as it is';
  return `${kind} ${name} ${is}${mended ? '' : hand}`;
}
