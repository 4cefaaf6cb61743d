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
  static override summary = 'Upgrade the schema of a database, large queues first';
  static override description = [
    'Shows a plan, then does it: new columns and triggers in short transactions, one table at a time; new indexes concurrently, beside working workers, partition by partition; and then the schema script in one transaction, which finds all that done. A table that is busy is waited for shortly, again and again. Run it again after an interruption: it goes on from there.',
    '--check says what differs from the shipped schema, thing by thing, and exits 1 when something does. It makes the shipped functions and an empty queue beside what is there, compares and takes them back: workers do not notice, and the role must own the schema.',
    '--dump-sql prints the script for another migration tool. By itself it locks the tables of old queues while it builds their indexes: run migrate before it where queues are large.',
  ].join('\n');
  static override examples = [
    '<%= config.bin %> migrate --dry-run',
    '<%= config.bin %> migrate',
    '<%= config.bin %> migrate --check',
  ];
  static override flags = {
    ...changeFlags,
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
      throw usageError(`"${flags.from}" is no version of the schema`, 'such as 0.4.0');
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
    if (this.io.inTty && this.io.errTty) await confirm(this.io, `${headline(plan)} Go on?`, flags.yes);
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
    const left = rows.length === 0 ? '' : '; what differs is not migrate’s to mend';
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
        : 'Nothing to do as far as the catalogs tell; what was changed by hand, --check finds as the owner on the primary';
      return { note, table: rows.length === 0 ? undefined : differenceTable(rows), jsonResult: planJson(plan) };
    }
    const note = rows.length === 0 ? 'The schema is what this absurdctl ships' : mend(plan);
    return { note, table: differenceTable(rows) };
  }

  /** Raises where the schema is newer than ours, or is not the version that was named. */
  private requireFit(plan: MigrationPlan, from: string | undefined): void {
    if ((plan.from_revision ?? 0) > plan.to_revision) {
      throw refused(
        `The schema has revision ${plan.from_revision}, this absurdctl brings only ${plan.to_revision}`,
        'use the newer absurdctl that installed it: a schema is never downgraded',
        'newer_schema',
      );
    }
    // Where everything is done already, a script that is run again is right to name where it once began.
    if (from !== undefined && plan.from_version !== null && from !== plan.from_version && !isCurrent(plan)) {
      throw refused(`The schema is ${plan.from_version}, not ${from}`, 'leave --from away', 'other_version');
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

function mend({ installed, differences }: MigrationPlan): Advice {
  if (!installed) return hint`${command('init')} installs it`;
  return differences.some(({ mended }) => mended)
    ? hint`${command('migrate')} mends it`
    : 'It is not migrate’s to mend';
}

function headline(plan: MigrationPlan): string {
  const to = `${plan.to_version} (revision ${plan.to_revision})`;
  if (plan.from_revision === plan.to_revision) return `Put right what differs in "${plan.database}".`;
  return `Upgrade "${plan.database}" from ${fromVersion(plan)} to ${to}.`;
}
