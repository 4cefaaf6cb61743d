import { BaseCommand, dbFlags } from '../lib/cli/base-command.js';
import type { Declaration } from '../lib/cli/declaration.js';
import type { Column, Rendering } from '../lib/cli/output.js';
import { countTasks, type QueueOverview } from '../sql/queue-counts.js';
import { listQueueNames, listRegisteredQueues } from '../sql/queues.js';
import { finishedStates, unfinishedStates, type QueueName, type TaskState } from '../sql/queues.js';
import { command, hint } from '../lib/cli/hint.js';

/** Every table and index of a queue takes a lock while it is counted, so they are counted some at a time. */
const queuesAtATime = 50;

export default class ListQueues extends BaseCommand<(QueueName | QueueOverview)[]> {
  static override summary = 'List the queues';
  static override description =
    'On a terminal and in JSON with the number of tasks by state and since when the oldest one that could run has been ' +
    'waiting; in a pipe one bare name a line. Counts are exact up to 10,000 tasks; beyond, finished ones are estimates ' +
    '("~", in JSON listed under `estimated`) and unfinished ones end at "10000+" (`at_least`).';
  static override examples = ['<%= config.bin %> list-queues', '<%= config.bin %> list-queues --json'];
  static override flags = { ...dbFlags };
  static declares: Declaration = {
    topic: 'QUEUES',
    needs: 'reader',
    samples: [''],
  };

  async execute(): Promise<(QueueName | QueueOverview)[]> {
    await this.parse(ListQueues);
    const onlyNames = this.mode() === 'name' || (this.mode() === 'table' && !this.io.outTty);
    if (onlyNames) return (await this.readRanges(listQueueNames)).map((name) => ({ queue_name: name }));
    const { registered, counted } = await this.readRanges(async (db) => {
      const all = await listRegisteredQueues(db);
      return { registered: all, counted: await countTasks(db, all.slice(0, queuesAtATime)) };
    });
    for (let i = queuesAtATime; i < registered.length; i += queuesAtATime) {
      const some = registered.slice(i, i + queuesAtATime);
      counted.push(...(await this.readRanges((db) => countTasks(db, some))));
    }
    return counted;
  }

  render(rows: (QueueName | QueueOverview)[]): Rendering {
    return {
      table: {
        columns: [
          { key: 'queue_name', label: 'QUEUE', type: 'id' },
          { key: 'storage_mode', label: 'STORAGE', drop: 3 },
          ...unfinishedStates.map((state) => count(state)),
          { key: 'oldest_waiting_at', label: 'OLDEST WAITING', type: 'time', drop: 1 },
          ...finishedStates.map((state) => count(state, 2)),
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
      const { estimated, at_least } = row as QueueOverview;
      return `${estimated.includes(state) ? '~' : ''}${String(value)}${at_least.includes(state) ? '+' : ''}`;
    },
  };
}
