import * as Args from '@oclif/core/args';
import * as Flags from '@oclif/core/flags';
import { BaseCommand, dbFlags } from '../lib/base-command.js';
import { usageError } from '../lib/errors.js';
import { queuesToLookIn } from '../lib/task-id.js';
import type { Rendering } from '../lib/output.js';
import { cleanupEvents, cleanupTasks, countCleanup, type CleanupCount } from '../sql/cleanup.js';

interface Cleaned {
  queue_name: string;
  tasks: number;
  events: number;
  /** With --dry-run: what would go, by state. */
  would_delete: CleanupCount | null;
}

export default class Cleanup extends BaseCommand<Cleaned> {
  static override summary = 'Delete tasks that ended, and events that were emitted, longer ago than so many days';
  static override description =
    'Goes on batch by batch, each a transaction of its own, until nothing is left: it may be interrupted and run again at any time. Tasks that are not over, and events that are only awaited, are never deleted.';
  static override examples = ['<%= config.bin %> cleanup mail 30 --dry-run', '<%= config.bin %> cleanup mail 30'];
  static override args = {
    queue: Args.string({ required: true, description: 'the queue' }),
    days: Args.string({ required: true, description: 'keep what ended within so many days; fractions too' }),
  };
  static override flags = {
    ...dbFlags,
    limit: Flags.integer({ char: 'l', min: 1, default: 1000, helpValue: 'N', description: 'rows a batch' }),
    'tasks-only': Flags.boolean({ description: 'leave events alone', exclusive: ['events-only'] }),
    'events-only': Flags.boolean({ description: 'leave tasks alone' }),
    'dry-run': Flags.boolean({ char: 'n', description: 'count what would go, delete nothing' }),
  };

  async execute(): Promise<Cleaned> {
    const { args, flags } = await this.parse(Cleanup);
    const ttl = ttlSeconds(args.days);
    const { queue } = args;
    await this.read((db) => queuesToLookIn(db, queue));
    const wanted = { tasks: !flags['events-only'], events: !flags['tasks-only'] };
    if (flags['dry-run']) {
      const count = await this.read((db) => countCleanup(db, queue, ttl));
      const would = {
        ...(wanted.tasks ? count : { ...count, completed: 0, failed: 0, cancelled: 0 }),
        events: wanted.events ? count.events : 0,
      };
      return { queue_name: queue, tasks: 0, events: 0, would_delete: would };
    }
    const db = await this.db();
    const drain = async (what: string, batch: () => Promise<number>): Promise<number> => {
      for (let total = 0; ;) {
        const deleted = await batch();
        total += deleted;
        if (deleted < flags.limit) return total;
        if (this.io.errTty) this.note(`deleted ${total} ${what} so far`);
      }
    };
    return {
      queue_name: queue,
      tasks: wanted.tasks ? await drain('tasks', () => cleanupTasks(db, queue, ttl, flags.limit)) : 0,
      events: wanted.events ? await drain('events', () => cleanupEvents(db, queue, ttl, flags.limit)) : 0,
      would_delete: null,
    };
  }

  render({ queue_name: queue, tasks, events, would_delete: would }: Cleaned): Rendering {
    if (would !== null) {
      const all = would.completed + would.failed + would.cancelled;
      return {
        note: 'Nothing was deleted',
        record: {
          Queue: queue,
          Tasks: all,
          Completed: would.completed,
          Failed: would.failed,
          Cancelled: would.cancelled,
          Events: would.events,
        },
      };
    }
    return { record: { Queue: queue, 'Tasks deleted': tasks, 'Events deleted': events } };
  }
}

function ttlSeconds(text: string): number {
  const seconds = Math.round(Number(text) * 86_400);
  if (text.trim() === '' || !Number.isFinite(seconds) || seconds < 0 || seconds > 2 ** 31 - 1) {
    throw usageError(`"${text}" is not a number of days from 0 to 24855`, 'absurdctl cleanup QUEUE TTL_DAYS');
  }
  return seconds;
}
