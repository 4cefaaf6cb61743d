import * as Flags from '@oclif/core/flags';
import { BaseCommand, dbFlags } from '../lib/cli/base-command.js';
import type { Declaration } from '../lib/cli/declaration.js';
import { confirmByName } from '../lib/cli/confirm.js';
import { CliError, errorCode, refused } from '../lib/cli/errors.js';
import { byteSize } from '../lib/cli/format/size.js';
import type { Rendering } from '../lib/cli/output.js';
import { countTasks } from '../sql/queue-counts.js';
import { unfinishedStates } from '../sql/description.js';
import { listRegisteredQueues } from '../sql/queues.js';
import { inspectSchema } from '../sql/schema.js';
import { dropSchema, readHoldings, type SchemaHoldings } from '../sql/uninstall.js';
import { counted } from '../lib/cli/format/text.js';
import { command, hint } from '../lib/cli/hint.js';

interface Loss extends SchemaHoldings {
  database: string;
  version: string | null;
  /** Names of all queues. */
  queues: string[];
  /** Tasks that are not over; each queue's states are counted up to 10,000. */
  unfinished: number;
  /** True where a count stopped: there are more. */
  at_least: boolean;
  /** Runs that a worker is at work on. */
  running: number;
}

interface Uninstalled {
  /** What would be, or was, lost; null if there was no schema. */
  loss: Loss | null;
  database: string;
  dropped: boolean;
}

/** Counting takes a lock on every table and index of these at a time. */
const queuesAtATime = 50;

export default class Uninstall extends BaseCommand<Uninstalled> {
  static override summary = 'Remove the schema from a database, with every queue and task in it';
  static override description = [
    "Shows what would be lost, and asks for the database's name on a terminal; otherwise it needs --yes. It drops everything in one transaction, with the jobs of pg_cron; extensions, roles and the database stay.",
    'If the schema contains tables or views that are not ours, or something in another schema depends on it (a view, a foreign key), it refuses without --cascade.',
  ].join('\n');
  static override examples = ['<%= config.bin %> uninstall --dry-run', '<%= config.bin %> uninstall -d staging --yes'];
  static override flags = {
    ...dbFlags,
    yes: Flags.boolean({ char: 'y', description: 'do not ask' }),
    cascade: Flags.boolean({ description: 'also drop what is not ours and what depends on the schema' }),
    'dry-run': Flags.boolean({ description: 'show what would be lost, drop nothing' }),
  };
  static declares: Declaration = {
    topic: 'SCHEMA',
    needs: 'owner',
    samples: ['--yes', '--dry-run'],
  };

  async execute(): Promise<Uninstalled> {
    const { flags } = await this.parse(Uninstall);
    const { installed, database, version } = await this.read(inspectSchema);
    if (!installed) return { loss: null, database, dropped: false };
    const loss = { database, version, ...(await this.survey()), ...(await this.read(readHoldings)) };
    if (flags['dry-run']) return { loss, database, dropped: false };
    const foreign = [...loss.strangers, ...loss.dependents];
    if (foreign.length > 0 && !flags.cascade) {
      throw refused(
        `This would also drop ${foreign.slice(0, 5).join(', ')}${foreign.length > 5 ? ` and ${foreign.length - 5} more` : ''}`,
        'move them away first, or add --cascade; --dry-run lists all',
        'not_ours',
      );
    }
    if (!flags.yes) for (const line of lines(loss)) this.note(line);
    await confirmByName(
      this.io,
      `Drop all of it? This cannot be undone. Type the database's name`,
      database,
      flags.yes,
    );
    try {
      await this.write((db) => dropSchema(db, loss.cron_jobs.length > 0));
    } catch (error) {
      if (errorCode(error) !== '53200') throw error;
      throw new CliError(`${loss.queues.length} queues need more locks than one transaction can take`, {
        code: 'too_many_locks',
        hint: hint`drop queues first (${command('drop-queue', 'NAME', { yes: true })}), or raise max_locks_per_transaction; nothing was dropped`,
        cause: error,
      });
    }
    return { loss, database, dropped: true };
  }

  private async survey(): Promise<Pick<Loss, 'queues' | 'unfinished' | 'at_least' | 'running'>> {
    const registered = await this.read(listRegisteredQueues);
    const counted = { queues: registered.map((queue) => queue.queue_name), unfinished: 0, at_least: false, running: 0 };
    for (let first = 0; first < registered.length; first += queuesAtATime) {
      const some = registered.slice(first, first + queuesAtATime);
      for (const queue of await this.read((db) => countTasks(db, some))) {
        for (const state of unfinishedStates) counted.unfinished += queue[state] ?? 0;
        counted.running += queue.running ?? 0;
        counted.at_least ||= queue.at_least.length > 0;
      }
    }
    return counted;
  }

  render({ loss, database, dropped }: Uninstalled): Rendering {
    if (loss === null) return { note: `Database "${database}" has no Absurd schema; nothing to do`, name: [] };
    if (dropped) return { note: `Dropped the schema absurd of database "${database}"`, name: database };
    return {
      note: 'Nothing was dropped',
      foundNothing: loss.queues.length === 0,
      record: {
        Database: database,
        Schema: loss.version ?? 'older than 0.2.0',
        Queues: loss.queues.length,
        'Unfinished tasks': `${loss.unfinished}${loss.at_least ? '+' : ''}`,
        Running: loss.running,
        Size: byteSize(loss.bytes),
        'Cron jobs': loss.cron_jobs.join(', ') || 'none',
        'Not ours': loss.strangers.join(', ') || 'none',
        'Depends on it': loss.dependents.join(', ') || 'none',
      },
    };
  }
}

const lines = ({ database, queues, unfinished, at_least, running, bytes, ...others }: Loss): string[] => [
  `Database "${database}": ${counted(queues.length, 'queue')} with ${unfinished}${at_least ? '+' : ''} unfinished ${unfinished === 1 && !at_least ? 'task' : 'tasks'}, ${running} of them running now, ${byteSize(bytes)}`,
  ...(queues.length > 0
    ? [`Queues: ${queues.slice(0, 20).join(', ')}${queues.length > 20 ? ` and ${queues.length - 20} more` : ''}`]
    : []),
  ...(others.cron_jobs.length > 0 ? [`Jobs of pg_cron: ${others.cron_jobs.join(', ')}`] : []),
  ...(others.strangers.length > 0 ? [`Not ours, in the schema: ${others.strangers.join(', ')}`] : []),
  ...(others.dependents.length > 0 ? [`Elsewhere, depending on it: ${others.dependents.join(', ')}`] : []),
];
