import * as Args from '@oclif/core/args';
import * as Flags from '@oclif/core/flags';
import { BaseCommand, changeFlags } from '../lib/cli/base-command.js';
import type { Declaration } from '../lib/cli/declaration.js';
import { drainQueue, type Deleted, type Scope } from '../lib/queue/cleanup.js';
import { checkAsked, defaultLimit, scopesOf } from '../lib/queue/cleanup-scopes.js';
import { toCliError } from '../lib/cli/errors.js';
import { byteSize } from '../lib/cli/format/size.js';
import type { Rendering } from '../lib/cli/output.js';
import { ProgressBar } from '../lib/cli/progress.js';
import { countCleanup, type CleanupCount } from '../sql/cleanup.js';
import { command, hint } from '../lib/cli/hint.js';
import { skippable } from '../sql/each-queue.js';
import { wholeNumberFlag } from '../lib/cli/flags.js';

interface Cleaned extends Deleted {
  /** With --dry-run: what would go. */
  would_delete: CleanupCount | null;
  /** Why the queue was skipped, or was not finished; null when it was. */
  error: string | null;
}

/** Counting all that would go may take longer than another look at a queue. */
const countTimeoutMs = 300_000;

interface CleanedQueues {
  /** Whether it was asked about one queue: then the answer is one record, and one object in JSON. */
  single: boolean;
  cleaned: Cleaned[];
}

export default class Cleanup extends BaseCommand<CleanedQueues> {
  static override summary = 'Delete finished tasks and emitted events that are older than a given age';
  static override description = [
    'Deletes in batches, each in its own transaction, until nothing is left, so it is safe to interrupt and repeat. Unfinished tasks, and events that were not emitted, are never deleted.',
    '--all cleans up every queue by its policy (queue-policy), or by --older-than. Rows that another session has locked are left for the next time.',
  ].join('\n');
  static override examples = [
    '<%= config.bin %> cleanup mail 30 --dry-run',
    '<%= config.bin %> cleanup mail 30',
    "<%= config.bin %> cleanup mail --older-than '1 month' --events-only",
    '<%= config.bin %> cleanup --all',
  ];
  static override args = {
    queue: Args.string({ description: 'the queue' }),
    days: Args.string({ description: 'age in days; fractions are allowed' }),
  };
  static override flags = {
    ...changeFlags,
    all: Flags.boolean({ description: 'every queue, each by its policy' }),
    'older-than': Flags.string({ helpValue: 'INTERVAL', description: 'age as an interval: 12h, 14 days, 1 month' }),
    limit: wholeNumberFlag({
      char: 'l',
      min: 1,
      helpValue: 'N',
      description: `rows per batch; default: the policy's limit, or ${defaultLimit}`,
    }),
    'tasks-only': Flags.boolean({ description: 'do not delete events', exclusive: ['events-only'] }),
    'events-only': Flags.boolean({ description: 'do not delete tasks' }),
    'dry-run': Flags.boolean({ char: 'n', description: 'count what would be deleted, delete nothing' }),
  };
  static declares: Declaration = {
    topic: 'QUEUES',
    needs: 'operator',
    samples: ['<queue> 0', '--all', '<queue> 0 --dry-run'],
  };

  async execute(): Promise<CleanedQueues> {
    const { args, flags } = await this.parse(Cleanup);
    const asked = checkAsked({ ...args, ...flags });
    const scopes = await this.read((db) => scopesOf(db, asked));
    const cleaned: Cleaned[] = [];
    const refusals: unknown[] = [];
    for (const scope of scopes) {
      const deleted = { queue_name: scope.queue_name, tasks: 0, events: 0 };
      try {
        if (flags['dry-run']) cleaned.push({ ...deleted, would_delete: await this.count(scope), error: null });
        else cleaned.push({ ...(await this.drain(scope, deleted)), would_delete: null, error: null });
      } catch (error) {
        const code = skippable(error);
        if (code === undefined || !flags.all) throw error;
        const reason = toCliError(error).message;
        refusals.push(error);
        this.skip([{ queue_name: scope.queue_name, code, reason }]);
        cleaned.push({ ...deleted, would_delete: null, error: reason });
      }
    }
    if (refusals.length > 0 && refusals.length === scopes.length) throw refusals[0];
    return { single: !flags.all, cleaned };
  }

  private async count(scope: Scope): Promise<CleanupCount> {
    return this.read((db) => countCleanup(db, scope.queue_name, scope.ttl_seconds, scope), countTimeoutMs);
  }

  private async drain(scope: Scope, deleted: Deleted): Promise<Deleted> {
    const bar = new ProgressBar(this.io, undefined, `deleted of queue "${scope.queue_name}"`);
    try {
      return await drainQueue(await this.db(), scope, deleted, ({ tasks, events }) => bar.show(tasks + events));
    } finally {
      bar.end();
    }
  }

  render({ single, cleaned }: CleanedQueues): Rendering {
    const dry = cleaned.some((queue) => queue.would_delete !== null);
    const [first] = cleaned;
    const note = dry ? 'Nothing was deleted' : undefined;
    if (!single) return { note, ...allQueues(cleaned, dry), jsonResult: cleaned };
    if (first === undefined) return {};
    const { queue_name: queue, tasks, events, would_delete: would } = first;
    if (would === null) {
      const record = { Queue: queue, 'Tasks deleted': tasks, 'Events deleted': events };
      return { record, foundNothing: tasks + events === 0, jsonResult: first };
    }
    const ended = would.completed + would.failed + would.cancelled;
    return {
      note,
      foundNothing: ended + would.events === 0,
      record: {
        Queue: queue,
        Tasks: ended,
        Completed: would.completed,
        Failed: would.failed,
        Cancelled: would.cancelled,
        Events: would.events,
        Size: `about ${byteSize(would.bytes)}`,
      },
      jsonResult: first,
    };
  }
}

function allQueues(cleaned: Cleaned[], dry: boolean): Rendering {
  const counts = dry ? ['completed', 'failed', 'cancelled', 'events'] : ['tasks', 'events'];
  const size = { key: 'bytes', label: 'SIZE (ABOUT)', type: 'number' as const, draw: byteSize, drop: 1 };
  return {
    table: {
      columns: [
        { key: 'queue_name', label: 'QUEUE', type: 'id' },
        ...counts.map((key) => ({ key, type: 'number' as const })),
        ...(dry ? [size] : []),
      ],
      rows: cleaned.map(({ would_delete: would, ...deleted }) => ({ ...deleted, ...would })),
      empty: hint`No queues yet: ${command('create-queue', 'default')}`,
    },
  };
}
