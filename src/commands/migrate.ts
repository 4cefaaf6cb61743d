import * as Flags from '@oclif/core/flags';
import { BaseCommand, changeFlags } from '../lib/cli/base-command.js';
import type { Declaration } from '../lib/cli/declaration.js';
import { confirm } from '../lib/cli/confirm.js';
import { CliError, exit, refused, usageError } from '../lib/cli/errors.js';
import { install } from '../lib/schema/install.js';
import { isCurrent, planMigration, type MigrationPlan } from '../lib/schema/migrate/plan.js';
import { differenceRows, differenceTable, fromVersion, planJson, renderPlan } from '../lib/schema/migrate/render.js';
import { Upgrade } from '../lib/schema/migrate/run.js';
import { watchBuild } from '../lib/schema/migrate/watch.js';
import type { Rendering } from '../lib/cli/output.js';
import { readSchemaScript, requireShippedRef } from '../lib/schema/schema-file.js';
import { command, hint, type Advice } from '../lib/cli/hint.js';

interface Migration {
  what: 'sql' | 'check' | 'plan' | 'nothing' | 'done';
  plan: MigrationPlan | null;
}

export default class Migrate extends BaseCommand<Migration> {
  static override summary = 'Upgrade the schema of a database with large queues';
  static override description = [
    'Shows a plan, then runs it while workers continue: it adds columns and triggers in short transactions, one table at a time, builds indexes concurrently, one partition at a time, and then runs the schema script in one transaction. It waits for a busy table in short attempts. After an interruption, run it again: it resumes.',
    '--check lists the differences from the shipped schema and exits 1 if there are any. It creates the shipped functions and an empty queue under other names, compares them and rolls back. Workers do not notice, and the role must own the schema.',
    '--dump-sql prints the script for another migration tool. The script alone locks the tables of old queues while it builds their indexes: for large queues, run migrate first.',
  ].join('\n');
  static override examples = [
    '<%= config.bin %> migrate --dry-run',
    '<%= config.bin %> migrate',
    '<%= config.bin %> migrate --check',
  ];
  static override flags = {
    ...changeFlags,
    from: Flags.string({ helpValue: 'VERSION', description: 'expected version of the installed schema' }),
    to: Flags.string({
      helpValue: 'VERSION',
      description: 'version to upgrade to; only the shipped version is available',
    }),
    'dry-run': Flags.boolean({ description: 'show the plan, change nothing', exclusive: ['check', 'dump-sql'] }),
    check: Flags.boolean({ description: 'list the differences; exit 1 if there are any', exclusive: ['dump-sql'] }),
    'dump-sql': Flags.boolean({
      description: 'print the script for another tool; does not connect',
      dependsOn: ['from'],
    }),
    yes: Flags.boolean({ char: 'y', description: 'do not ask' }),
  };
  static declares: Declaration = {
    topic: 'SCHEMA',
    bringsSchema: true,
    needs: (flags) => (flags.includes('--dump-sql') ? 'none' : flags.includes('--dry-run') ? 'reader' : 'owner'),
    samples: ['--yes', '--check', '--dry-run', '--from 0.4.0 --dump-sql'],
  };

  async execute(): Promise<Migration> {
    const { flags } = await this.parse(Migrate);
    requireShippedRef(flags.to, '--to');
    if (flags.from !== undefined && !/^v?\d+\.\d+\.\d+$|^main$/.test(flags.from)) {
      throw usageError(`"${flags.from}" is not a version of the schema`, 'such as 0.4.0');
    }
    if (flags['dump-sql']) return { what: 'sql', plan: null };
    const db = await this.db();
    const { plan, work } = await planMigration(db, flags['dry-run']);
    this.requireFit(plan, flags.from?.replace(/^v/, ''));
    if (flags.check) return { what: 'check', plan };
    if (isCurrent(plan)) return { what: 'nothing', plan };
    if (flags['dry-run']) return { what: 'plan', plan };
    requireSchema(plan);
    if (this.mode() === 'table') await this.show({ what: 'plan', plan });
    if (this.io.inTty && this.io.errTty) await confirm(this.io, `${headline(plan)} Continue?`, flags.yes);
    const pause = (ms: number): Promise<void> => this.pause(ms);
    const drawn = this.io.errTty && this.mode() === 'table';
    await new Upgrade(db, {
      pause,
      note: (text) => this.note(text),
      watch: (what, build) => (drawn ? watchBuild(this.io, db, () => this.openDatabase(), what, build) : build()),
    }).prepare(plan, work);
    await install(db, pause, (reason) => this.note(`Trying again: ${reason}`), true);
    return { what: 'done', plan };
  }

  protected override exitCode({ what, plan }: Migration): number {
    const differs = plan !== null && (!plan.installed || plan.differences.length > 0);
    const left = plan?.differences.some(({ mended }) => !mended);
    return (what === 'check' && differs) || (what === 'nothing' && left) ? exit.failed : exit.done;
  }

  render({ what, plan }: Migration): Rendering {
    if (plan === null) return { text: readSchemaScript(), jsonResult: { sql: readSchemaScript() } };
    const rows = differenceRows(plan);
    const left = rows.length === 0 ? '' : '; migrate cannot fix the remaining differences';
    if (what === 'plan') return renderPlan(plan);
    if (what === 'done') {
      return {
        note: `Done: the schema is ${plan.to_version} (revision ${plan.to_revision})`,
        jsonResult: planJson(plan),
      };
    }
    if (what === 'nothing') {
      const note = plan.compared
        ? `Nothing to do: the schema is up to date${left}`
        : 'Nothing to do by the catalogs; to find manual changes, run --check as the owner on the primary';
      return { note, table: rows.length === 0 ? undefined : differenceTable(rows), jsonResult: planJson(plan) };
    }
    const note = rows.length === 0 ? 'The schema is what this absurdctl ships' : fix(plan);
    return { note, table: differenceTable(rows) };
  }

  /** Raises where the schema is newer than ours, or is not the version that was named. */
  private requireFit(plan: MigrationPlan, from: string | undefined): void {
    if ((plan.from_revision ?? 0) > plan.to_revision) {
      throw refused(
        `The schema has revision ${plan.from_revision}, this absurdctl contains only ${plan.to_revision}`,
        'use the newer absurdctl that installed it: a schema is never downgraded',
        'newer_schema',
      );
    }
    // Where everything is done already, a script that is run again is right to name where it once began.
    if (from !== undefined && plan.from_version !== null && from !== plan.from_version && !isCurrent(plan)) {
      throw refused(`The schema is ${plan.from_version}, not ${from}`, 'omit --from', 'other_version');
    }
  }
}

function requireSchema(plan: MigrationPlan): void {
  if (plan.installed) return;
  throw new CliError(`The database "${plan.database}" has no Absurd schema`, {
    exitCode: exit.unreachable,
    code: 'schema_missing',
    hint: hint`${command('init')} installs it`,
  });
}

function fix({ installed, differences }: MigrationPlan): Advice {
  if (!installed) return hint`${command('init')} installs it`;
  return differences.some(({ mended }) => mended) ? hint`${command('migrate')} fixes it` : 'migrate cannot fix it';
}

function headline(plan: MigrationPlan): string {
  const to = `${plan.to_version} (revision ${plan.to_revision})`;
  if (plan.from_revision === plan.to_revision) return `Fix the differences in "${plan.database}".`;
  return `Upgrade "${plan.database}" from ${fromVersion(plan)} to ${to}.`;
}
