import { BaseCommand, dbFlags } from '../lib/cli/base-command.js';
import type { Declaration } from '../lib/cli/declaration.js';
import { watchFlag } from '../lib/cli/watch.js';
import { pauseColumns, withPause, type PauseColumns } from '../lib/queue/pause.js';
import type { Column, RenderContext, Rendering } from '../lib/cli/output.js';
import { findPauses } from '../sql/pauses.js';
import { QueueReader } from '../sql/each-queue.js';
import { countTasks, uncounted, type QueueOverview } from '../sql/queue-counts.js';
import { listQueueNames, listRegisteredQueues, type RegisteredQueue } from '../sql/queues.js';
import { finishedStates, unfinishedStates, type TaskState } from '../sql/description.js';
import type { QueueName } from '../sql/queues.js';
import { command, hint } from '../lib/cli/hint.js';

type Row = QueueName | (QueueOverview & PauseColumns);

/** Every table and index of a queue takes a lock while it is counted, so they are counted some at a time. */
const queuesAtATime = 50;

export default class ListQueues extends BaseCommand<Row[]> {
  static override summary = 'List the queues';
  static override description =
    'A terminal and JSON also show the number of tasks by state and the age of the oldest task that could run; a pipe gets ' +
    'one name a line. Counts are exact up to 10,000 tasks. Beyond that, counts of finished tasks are estimates ("~", in JSON ' +
    'listed under `estimated`) and counts of unfinished ones end at "10000+" (`at_least`).';
  static override examples = ['<%= config.bin %> list-queues', '<%= config.bin %> list-queues --json'];
  static override flags = { ...dbFlags, watch: watchFlag };
  static declares: Declaration = {
    topic: 'QUEUES',
    needs: 'reader',
    samples: [''],
  };

  /** Why the first queue could not be counted. */
  private refusal: unknown;

  async execute(): Promise<Row[]> {
    const { flags } = await this.parse(ListQueues);
    return flags.watch ? this.watch(() => this.look()) : this.look();
  }

  private async look(): Promise<Row[]> {
    const onlyNames = this.mode() === 'name' || (this.mode() === 'table' && !this.io.outTty);
    if (onlyNames) return (await this.readRanges(listQueueNames)).map((name) => ({ queue_name: name }));
    this.refusal = undefined;
    this.skipNone();
    const registered = await this.readRanges(listRegisteredQueues);
    const counted: QueueOverview[] = [];
    for (let i = 0; i < registered.length; i += queuesAtATime)
      counted.push(...(await this.count(registered.slice(i, i + queuesAtATime))));
    if (this.refusal !== undefined && counted.every(({ error }) => error !== null)) throw this.refusal;
    const pauses = await this.readRanges(findPauses);
    return counted.map((queue) => withPause(queue, pauses));
  }

  /** Counts some queues. One that cannot be read has a row without counts. */
  private async count(queues: readonly RegisteredQueue[]): Promise<QueueOverview[]> {
    return this.readRanges(async (db) => {
      const reader = new QueueReader(db);
      const named = new Map(queues.map((queue) => [queue.queue_name, queue]));
      const read = (names: string[]): Promise<QueueOverview[]> =>
        countTasks(
          db,
          names.flatMap((name) => named.get(name) ?? []),
        );
      const counted = (await reader.some([...named.keys()], read)).flat();
      this.skip(reader.skipped);
      this.refusal ??= reader.firstError;
      return queues.map((queue) => {
        const skipped = reader.skipped.find(({ queue_name: name }) => name === queue.queue_name);
        if (skipped !== undefined) return uncounted(queue, skipped.reason);
        return counted.find(({ queue_name: name }) => name === queue.queue_name) ?? uncounted(queue, 'not read');
      });
    });
  }

  render(rows: Row[], context: RenderContext): Rendering {
    return {
      table: {
        columns: [
          { key: 'queue_name', label: 'QUEUE', type: 'id' },
          { key: 'storage_mode', label: 'STORAGE', drop: 3 },
          ...unfinishedStates.map((state) => count(state)),
          { key: 'oldest_waiting_at', label: 'OLDEST WAITING', type: 'time', drop: 1 },
          ...finishedStates.map((state) => count(state, 2)),
          ...pauseColumns(rows, context),
        ],
        rows,
        pipe: 'names',
        empty: hint`No queues yet: ${command('create-queue', 'default')}`,
      },
    };
  }
}

function count(state: TaskState, drop = 0): Column {
  return {
    key: state,
    type: 'number',
    drop,
    draw: (value, row) => {
      const { estimated, at_least, error } = row as QueueOverview;
      if (error !== null) return '-';
      return `${estimated.includes(state) ? '~' : ''}${String(value)}${at_least.includes(state) ? '+' : ''}`;
    },
  };
}
