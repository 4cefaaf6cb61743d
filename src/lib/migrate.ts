/** Upgrades in two halves: large indexes first, beside working workers, then the script in one short transaction. */
import {
  buildStatements,
  describeSchema,
  listMissingIndexes,
  runStatement,
  type MissingIndex,
} from '../sql/migrate.js';
import { inspectSchema, runSchemaScript } from '../sql/schema.js';
import type { Database } from './connection/database.js';
import { readSchemaScript, schemaVersion } from './schema-file.js';

/** A queue with this many rows is no business of one transaction that holds its table. */
export const largeTable = 50_000;

/** A table that stays busy ends the migration, which may be run again: what is built stays built. */
const lockTimeoutMs = 5000;

export interface MigrationPlan {
  database: string;
  installed: boolean;
  from_version: string | null;
  from_revision: number | null;
  to_version: string;
  /** The revision that the script brings. */
  to_revision: number;
  indexes: MissingIndex[];
}

/** The revision that the shipped script brings, as its first chapter says. */
export function shippedRevision(): number {
  return Number(/v_script_revision constant integer := (\d+)/.exec(readSchemaScript())?.[1] ?? Number.NaN);
}

export async function planMigration(db: Database): Promise<MigrationPlan> {
  return db.read(async (read) => {
    const state = await inspectSchema(read);
    return {
      database: state.database,
      installed: state.installed,
      from_version: state.version,
      from_revision: state.revision,
      to_version: schemaVersion,
      to_revision: shippedRevision(),
      indexes: state.installed ? await listMissingIndexes(read) : [],
    };
  });
}

/** Whether there is anything that the catalogs show to be done. */
export const isCurrent = (plan: MigrationPlan): boolean =>
  plan.installed && plan.from_revision === plan.to_revision && plan.indexes.length === 0;

/** Builds what is missing in unpartitioned tables, one index after another, without locking out writers. */
export async function buildIndexes(
  db: Database,
  plan: MigrationPlan,
  tell: (index: MissingIndex) => void,
): Promise<number> {
  const alone = plan.indexes.filter((index) => !index.partitioned);
  for (const index of alone) {
    tell(index);
    for (const statement of buildStatements(index)) {
      // A column needs its table for a moment; waiting longer for it would hold up every worker behind.
      if (statement.startsWith('alter')) {
        await db.transaction((transaction) => runStatement(transaction, statement), { lockTimeoutMs });
      } else await runStatement(db, statement);
    }
  }
  return alone.length;
}

class Undo extends Error {}

/**
 * What the shipped script would change, thing by thing: it runs in a transaction that is rolled back. Where indexes are
 * missing those are told instead, since building them only to throw them away would take long.
 */
export async function findDifferences(db: Database, plan: MigrationPlan): Promise<string[]> {
  if (!plan.installed) return ['the schema is missing'];
  if (plan.indexes.length > 0) {
    return plan.indexes.map(({ index_name: name, broken }) => `index ${name} is ${broken ? 'invalid' : 'missing'}`);
  }
  const script = readSchemaScript();
  let differences: string[] = [];
  try {
    await db.transaction(
      async (transaction) => {
        const before = await describeSchema(transaction);
        await runSchemaScript(transaction, script);
        const after = await describeSchema(transaction);
        const gone = [...before.keys()].filter((what) => !after.has(what)).map((what) => `${what} does not belong`);
        const other = [...after].flatMap(([what, how]) => {
          const was = before.get(what);
          return was === how ? [] : [`${what} ${was === undefined ? 'is missing' : 'differs'}`];
        });
        differences = [...other, ...gone];
        throw new Undo();
      },
      { lockTimeoutMs },
    );
  } catch (error) {
    if (!(error instanceof Undo)) throw error;
  }
  return differences.sort();
}
