/**
 * The upgrade itself: first, table by table, all that would hold up workers in one long transaction; then the script, which
 * finds it done. Every step looks again before it acts, so that an upgrade that broke off anywhere resumes from there.
 */
import {
  attachIndex,
  createConcurrently,
  createOnParent,
  dropInvalidIndex,
  listPartitionIndexes,
  partitionIndexName,
  readIndexState,
  type Builder,
  type MissingIndex,
} from '../../../sql/indexes.js';
import {
  addTableParts,
  fillCancelDue,
  fillOneCancelDue,
  liftTimeouts,
  listHolders,
  lockInstallation,
  lockTable,
  restoreTimeouts,
  runPart,
  type LackingTable,
} from '../../../sql/migrate.js';
import type { Queryable } from '../../../sql/queryable.js';
import type { Database } from '../../connection/database.js';
import { CliError, errorCode, exit } from '../../cli/errors.js';
import type { MigrationPlan, Work } from './plan.js';
import { builtParts } from './script.js';
import { queuesOf, stepAttempts, stepLockMs } from './steps.js';
import { counted } from '../../cli/format/text.js';
import { command, hint } from '../../cli/hint.js';

/** Rows a batch: some tens of milliseconds. */
const batchRows = 5000;
const breakMs = 300;

/** What the upgrade needs of the command that runs it. */
export interface UpgradeHost {
  pause(ms: number): Promise<void>;
  note(text: string): void;
  /** Runs a build, and shows how far it is where somebody looks. */
  watch(what: string, build: () => Promise<void>): Promise<void>;
}

export class Upgrade {
  constructor(
    private readonly db: Database,
    private readonly host: UpgradeHost,
    private readonly attempts = stepAttempts,
  ) {}

  /** All but the script. Raises CliError `lock_timeout` for a table that stays busy; what was done stays done. */
  async prepare({ indexes }: MigrationPlan, { registry, tables }: Work): Promise<void> {
    if (registry) await this.shortly('queues', (db) => runPart(db, builtParts().registryChapter));
    if (tables.some(({ triggers }) => !triggers)) {
      await this.shortly('queues', async (db) => {
        await lockInstallation(db);
        await runPart(db, builtParts().triggerFunctions);
      });
    }
    const before = await liftTimeouts(this.db);
    try {
      for (const queue of queuesOf(tables, indexes)) {
        for (const table of tables.filter(({ queue_name: name }) => name === queue)) await this.fill(table);
        for (const index of indexes.filter(({ queue_name: name }) => name === queue)) await this.index(index);
      }
    } finally {
      await restoreTimeouts(this.db, before).catch(() => undefined);
    }
  }

  private async fill(table: LackingTable): Promise<void> {
    if (!table.column || !table.triggers) {
      await this.shortly(table.table_name, async (db) => {
        await lockTable(db, table);
        await addTableParts(db, table, builtParts().tableParts);
      });
    }
    if (table.filled) return;
    const skipped: string[] = [];
    this.host.note(`Filling cancel_due of ${table.table_name} (about ${counted(table.rows, 'row')})`);
    for (let after: string | null = null; ;) {
      const batch = await this.db.transaction((db) => fillCancelDue(db, table, after, batchRows));
      skipped.push(...batch.skipped);
      if (batch.last_id === null) break;
      after = batch.last_id;
    }
    // One at a time: who holds one row and waits for another could deadlock with workers.
    for (const id of skipped) await this.shortly(table.table_name, (db) => fillOneCancelDue(db, table, id));
  }

  private async index(index: MissingIndex): Promise<void> {
    const rows = `about ${counted(index.rows, 'row')}`;
    if (!index.partitioned) {
      await this.build(index, index.table_name, index.index_name, `${index.index_name} (${rows})`);
      return;
    }
    for (let attempt = 1; ; attempt++) {
      await this.shortly(index.table_name, (db) => createOnParent(db, index));
      if (await this.attachAll(index)) return;
      // Every partition has its part, and one of them is not valid: nobody can build that one anew but from the top.
      if (attempt === 3) throw stuck(index);
      await this.shortly(index.table_name, (db) => dropInvalidIndex(db, index.table_name, index.index_name));
    }
  }

  /** Builds and attaches what partitions lack; true once the whole index is valid. */
  private async attachAll(index: MissingIndex): Promise<boolean> {
    for (;;) {
      const all = await listPartitionIndexes(this.db, index);
      const lacking = all.filter(({ attached }) => attached === null);
      if (lacking.length === 0) break;
      for (const { partition, rows } of lacking) {
        const name = partitionIndexName(index, partition);
        const place = `partition ${all.findIndex((one) => one.partition === partition) + 1} of ${all.length}`;
        try {
          await this.build(
            index,
            partition,
            name,
            `${index.index_name} in ${partition} (${place}, about ${counted(rows, 'row')})`,
          );
          await this.shortly(partition, (db) => attachIndex(db, index, name));
        } catch (error) {
          // Detached or dropped meanwhile: it needs none.
          if (!['42P01', '55000', '42P17'].includes(errorCode(error) ?? '')) throw error;
          const now = await listPartitionIndexes(this.db, index);
          if (now.some((one) => one.partition === partition && one.attached === null)) throw error;
        }
      }
    }
    return (await readIndexState(this.db, index.table_name, index.index_name)).valid;
  }

  /** Builds one index of one table. Somebody else's build is waited for; what a broken one left is dropped first. */
  private async build(index: MissingIndex, table: string, name: string, what: string): Promise<void> {
    let reportedPid = 0;
    for (let attempt = 1; attempt <= this.attempts;) {
      const { there, valid, builder } = await readIndexState(this.db, table, name);
      if (valid) return;
      if (builder) {
        if (reportedPid !== builder.pid) this.host.note(waiting(name, builder));
        reportedPid = builder.pid;
        await this.host.pause(breakMs);
        continue;
      }
      if (there) {
        this.host.note(`Dropping the rest of ${name}, whose build was interrupted`);
        await this.shortly(
          table,
          (db) => dropInvalidIndex(db, table, name),
          () => this.isBeingBuilt(table, name),
        );
        continue;
      }
      this.host.note(`Building ${what}`);
      try {
        await this.host.watch(name, () => createConcurrently(this.db, index, table, name));
      } catch (error) {
        // Another session was quicker with the name, or a deadlock was resolved at the cost of this build.
        if (!['42P07', '40P01', '23505'].includes(errorCode(error) ?? '') || attempt === this.attempts) throw error;
        attempt++;
      }
    }
  }

  private async isBeingBuilt(table: string, name: string): Promise<boolean> {
    return (await readIndexState(this.db, table, name)).builder !== null;
  }

  /**
   * A transaction that needs a lock for a moment. It waits for it shortly and lets workers pass in between. `alreadyHandled` says
   * that a failed attempt needs no other.
   */
  private async shortly(
    table: string,
    work: (db: Queryable) => Promise<void>,
    alreadyHandled: () => Promise<boolean> = () => Promise.resolve(false),
  ): Promise<void> {
    for (let attempt = 1; ; attempt++) {
      try {
        return await this.db.transaction(work, { lockTimeoutMs: stepLockMs });
      } catch (error) {
        if (!['55P03', '40P01', '40001'].includes(errorCode(error) ?? '')) throw error;
        if (await alreadyHandled()) return;
        const holders = await this.holders(table);
        if (attempt === this.attempts) throw busy(table, this.attempts, holders, error);
        if (attempt === 1) this.host.note(`Table ${table} is busy (${holders}); trying again`);
        await this.host.pause(breakMs);
      }
    }
  }

  private async holders(table: string): Promise<string> {
    const found = await listHolders(this.db, table);
    const said = found.map(({ pid, application, state, seconds }) => {
      const name = application ? ` (${application})` : '';
      return `process ${pid ?? '-'}${name}, ${state ?? 'prepared'}${seconds === null ? '' : `, ${Math.round(seconds)} s`}`;
    });
    return said.length === 0 ? 'by changing sessions' : `by ${said.join('; ')}`;
  }
}

function waiting(name: string, { pid, application, waits_for: by }: Builder): string {
  const who = application ? `process ${pid} (${application})` : `process ${pid}`;
  const because = by === null ? '' : `, which waits for process ${by}`;
  return `${name} is being built by ${who}${because}; waiting for it (to end it: select pg_cancel_backend(${pid}))`;
}

const busy = (table: string, attempts: number, holders: string, cause: unknown): CliError =>
  new CliError(`Table ${table} stayed busy through ${attempts} tries: held ${holders}`, {
    exitCode: exit.failed,
    code: 'lock_timeout',
    hint: hint`end that transaction, or try later: finished steps are kept, and ${command('migrate')} resumes from there`,
    cause,
  });

const stuck = ({ index_name: name }: MissingIndex): CliError =>
  new CliError(`Index ${name} stays invalid although every partition has its part`, {
    code: 'index_invalid',
    hint: hint`look at it (psql: \\d+ absurd.${name}), drop it, and run ${command('migrate')} again`,
  });
