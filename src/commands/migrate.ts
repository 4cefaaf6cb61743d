import * as Flags from '@oclif/core/flags';
import { BaseCommand, dbFlags } from '../lib/base-command.js';
import { confirm } from '../lib/confirm.js';
import type { Database } from '../lib/connection/database.js';
import { CliError, errorCode, exit, refused, usageError } from '../lib/errors.js';
import { install } from '../lib/install.js';
import { buildIndexes, findDifferences, isCurrent, planMigration, type MigrationPlan } from '../lib/migrate.js';
import type { Rendering, Table } from '../lib/output.js';
import { readSchemaScript, requireShippedRef } from '../lib/schema-file.js';

interface Migration {
  plan: MigrationPlan | null;
  /** With --check: what differs. */
  differences: string[] | null;
  /** Of a schema whose revision is current: what was changed by hand, and is put right. Null: could not be tried here. */
  drift: string[] | null;
  sql: string | null;
  done: boolean;
}

export default class Migrate extends BaseCommand<Migration> {
  static override summary = 'Upgrade the schema of a database, large queues first';
  static override description = [
    'Builds missing indexes first, concurrently, so that workers go on; then runs the schema script in one transaction with a short lock timeout and retries. An index whose build broke off is found and built again; running it twice is safe.',
    '--check says what differs from the shipped schema, thing by thing, and exits 1 when something does; it needs the rights of the owner, since it tries the script in a transaction that it rolls back.',
  ].join('\n');
  static override examples = [
    '<%= config.bin %> migrate --dry-run',
    '<%= config.bin %> migrate',
    '<%= config.bin %> migrate --check',
  ];
  static override flags = {
    ...dbFlags,
    from: Flags.string({ helpValue: 'VERSION', description: 'version that is expected to be there' }),
    to: Flags.string({ helpValue: 'VERSION', description: 'version to come to; only the one shipped is there' }),
    'dry-run': Flags.boolean({ description: 'show the plan, change nothing', exclusive: ['check', 'dump-sql'] }),
    check: Flags.boolean({ description: 'say what differs; exit 1 when something does', exclusive: ['dump-sql'] }),
    'dump-sql': Flags.boolean({
      description: 'print the script for another tool; does not connect',
      dependsOn: ['from'],
    }),
    yes: Flags.boolean({ char: 'y', description: 'do not ask' }),
  };

  async execute(): Promise<Migration> {
    const { flags } = await this.parse(Migrate);
    requireShippedRef(flags.to);
    if (flags.from !== undefined && !/^v?\d+\.\d+\.\d+$|^main$/.test(flags.from)) {
      throw usageError(`"${flags.from}" is no version of the schema`, 'such as 0.4.0');
    }
    const nothing = { plan: null, differences: null, drift: [], sql: null, done: false };
    if (flags['dump-sql']) return { ...nothing, sql: readSchemaScript() };
    const db = await this.db();
    const plan = await planMigration(db);
    const from = flags.from?.replace(/^v/, '');
    // Where everything is done already, a script that is run again is right to name where it once began.
    if (from !== undefined && plan.from_version !== null && from !== plan.from_version && !isCurrent(plan)) {
      throw refused(`The schema is ${plan.from_version}, not ${from}`, 'leave --from away', 'other_version');
    }
    if (flags.check) return { ...nothing, plan, differences: await findDifferences(db, plan) };
    const drift = isCurrent(plan) ? await this.drift(db, plan, flags['dry-run']) : [];
    if (drift === null) return { ...nothing, plan, drift };
    if (flags['dry-run'] || (isCurrent(plan) && drift.length === 0)) return { ...nothing, plan, drift };
    if (!plan.installed) {
      throw new CliError(`The database "${plan.database}" has no Absurd schema`, {
        exitCode: exit.unreachable,
        code: 'schema_missing',
        hint: 'absurdctl init installs it',
      });
    }
    if (this.io.inTty && this.io.errTty) await confirm(this.io, `${headline(plan, drift)} Go on?`, flags.yes);
    await buildIndexes(db, plan, ({ index_name: name, rows }) => this.note(`Building ${name} (about ${rows} rows)`));
    await install(
      db,
      (ms) => this.pause(ms),
      (reason) => this.note(`Trying again: ${reason}`),
    );
    return { ...nothing, plan, drift, done: true };
  }

  /** A plan is for everybody to see, as far as the catalogs tell: trying the script takes the owner, and the primary. */
  private async drift(db: Database, plan: MigrationPlan, planOnly: boolean | undefined): Promise<string[] | null> {
    try {
      return await findDifferences(db, plan);
    } catch (error) {
      if (planOnly && ['42501', '25006'].includes(errorCode(error) ?? '')) return null;
      throw error;
    }
  }

  protected override exitCode({ differences }: Migration): number {
    return differences !== null && differences.length > 0 ? exit.failed : exit.done;
  }

  render({ plan, differences, drift, sql, done }: Migration): Rendering {
    if (sql !== null) return { text: sql, jsonResult: { sql } };
    if (plan === null) return {};
    if (differences !== null) {
      const note = differences.length === 0 ? 'The schema is what this absurdctl ships' : 'absurdctl migrate mends it';
      return { note, table: differenceTable(differences) };
    }
    if (done)
      return { note: `Done: the schema is ${plan.to_version} (revision ${plan.to_revision})`, jsonResult: plan };
    if (drift === null) {
      return {
        note: 'Nothing to do as far as the catalogs tell; what was changed by hand, --check finds as the owner on the primary',
        jsonResult: { ...plan, drift },
      };
    }
    if (drift.length > 0) {
      return {
        note: 'Nothing was changed; migrate would put this right',
        table: differenceTable(drift),
        jsonResult: { ...plan, drift },
      };
    }
    if (isCurrent(plan)) return { note: 'Nothing to do: the schema is up to date', jsonResult: plan };
    return {
      record: {
        Database: plan.database,
        From: `${plan.from_version ?? (plan.installed ? 'older than 0.2.0' : 'nothing')}${plan.from_revision === null ? '' : ` (revision ${plan.from_revision})`}`,
        To: `${plan.to_version} (revision ${plan.to_revision})`,
        Locks:
          'functions are replaced under no lock; tables that lack a column or trigger are locked for its making, 2 s of waiting at most',
      },
      sections: [
        {
          title: 'Indexes to build, concurrently where the table is not partitioned',
          table: {
            columns: [
              { key: 'index_name', label: 'INDEX', type: 'id' },
              { key: 'queue_name', label: 'QUEUE', drop: 2 },
              { key: 'rows', label: 'ROWS (ABOUT)', type: 'number' },
              { key: 'bytes', label: 'TABLE BYTES', type: 'number', drop: 1 },
              { key: 'broken', drop: 3 },
              { key: 'partitioned', drop: 4 },
            ],
            rows: plan.indexes,
          },
        },
      ],
      jsonResult: plan,
    };
  }
}

const differenceTable = (differences: string[]): Table => ({
  columns: [{ key: 'difference' }],
  rows: differences.map((difference) => ({ difference })),
});

const headline = (plan: MigrationPlan, drift: string[]): string =>
  drift.length > 0
    ? `Put right what differs in "${plan.database}" (${drift.length}, see --check).`
    : `Upgrade "${plan.database}" from ${plan.from_version ?? 'a schema older than 0.2.0'} to ${plan.to_version} (revision ${plan.to_revision}); ${plan.indexes.length} indexes are built first.`;
