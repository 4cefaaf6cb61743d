/** Writes what a command changes into `absurd.operations`: one row a run, in the transactions of the change. */
import { hostname, userInfo } from 'node:os';
import { maskSecrets } from '../../connection/uri.js';
import { readRecording, recordOperation, type Recording } from '../../sql/operations.js';
import type { Queryable } from '../../sql/queryable.js';
import { command, hint, type Advice } from '../cli/hint.js';
import { cut } from '../cli/format/text.js';
import { notPermitted } from '../cli/errors.js';
import type { Database, Recorder, Touched } from '../connection/database.js';
import { requireFeature } from '../schema/feature.js';

/** Bounds of what a row keeps of a command line. */
const longestArgument = 500;
const maxArguments = 100;

/** The words of a command line without its reason, secrets masked, the long ones cut. */
export function keptArguments(argv: readonly string[]): string[] {
  const end = argv.includes('--') ? argv.indexOf('--') : argv.length;
  const words = argv.filter(
    (word, i) => i >= end || !(word.startsWith('--reason=') || word === '--reason' || argv[i - 1] === '--reason'),
  );
  const kept = words.slice(0, maxArguments).map((word) => cut(maskSecrets(word), longestArgument));
  return words.length > maxArguments ? [...kept, `… and ${words.length - maxArguments} more`] : kept;
}

/** The user of the operating system; null where it has no name. */
function osUser(env: NodeJS.ProcessEnv): string | null {
  try {
    return userInfo().username;
  } catch {
    return env.USER ?? env.USERNAME ?? null;
  }
}

export interface Run {
  command: string;
  argv: readonly string[];
  reason: string | undefined;
  /** The queue that was named, for transactions that do not say which they changed. */
  queue: string | undefined;
  env: NodeJS.ProcessEnv;
  /** The command brings the schema itself: whether operations can be recorded shows after its work. */
  bringsSchema: boolean;
}

export class OperationLog implements Recorder {
  private recording: Recording | undefined;
  /** The row of this run. */
  private row: string | null = null;

  constructor(private readonly run: Run) {}

  /** Raises, before anything is written, where a reason was given that cannot be recorded. */
  async check(database: Database): Promise<void> {
    const { reason, bringsSchema } = this.run;
    if (reason === undefined || bringsSchema || this.recording !== undefined) return;
    await database.read(async (db) => {
      await requireFeature(db, 'operations', 'record a reason');
      await this.begin(db);
    });
    if (this.recording === 'refused')
      throw notPermitted('This role may not write absurd.operations, which keeps the reason');
  }

  async begin(db: Queryable): Promise<void> {
    if (this.run.bringsSchema) return;
    this.recording ??= await readRecording(db);
  }

  async end(db: Queryable, touched: readonly Touched[] | undefined): Promise<() => void> {
    if (this.run.bringsSchema && this.recording !== 'possible') this.recording = await readRecording(db);
    if (this.recording !== 'possible') return () => undefined;
    const [only, ...others] = touched ?? [{}];
    // Several queues in one transaction: each gets its own row, so that it is found by its queue.
    const rows = others.length > 0 ? [only, ...others].map((one) => ({ one, continued: null })) : [];
    for (const { one } of rows) await this.write(db, one ?? {}, null, false);
    if (rows.length > 0 || only === undefined) return () => undefined;
    const row = await this.write(db, only, this.row, touched === undefined);
    return () => {
      this.row ??= row;
    };
  }

  /** What to say after the run where nothing was recorded though the schema could. */
  advice(): Advice[] {
    return this.recording === 'refused'
      ? [hint`This change is not in ${command('list-operations')}: this role may not write absurd.operations`]
      : [];
  }

  private write(db: Queryable, touched: Touched, continued: string | null, onlyIfChanged: boolean) {
    const { command: name, argv, reason, queue, env } = this.run;
    const tasks = touched.tasks ?? [];
    const operation = {
      command: name,
      arguments: keptArguments(argv),
      os_user: osUser(env),
      os_host: hostname(),
      reason: reason ?? null,
      queue_name: touched.queue ?? queue ?? null,
      task_ids: tasks.slice(0, 1000),
      task_count: touched.count ?? tasks.length,
    };
    return recordOperation(db, operation, { continued, onlyIfChanged });
  }
}
