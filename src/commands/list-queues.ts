import { BaseCommand, dbFlags } from '../lib/base-command.js';
import type { Rendering } from '../lib/output.js';
import { listQueueNames, type QueueName } from '../sql/queues.js';

export default class ListQueues extends BaseCommand<QueueName[]> {
  static override summary = 'List the queues';
  static override examples = ['<%= config.bin %> list-queues'];
  static override flags = { ...dbFlags };

  async execute(): Promise<QueueName[]> {
    await this.parse(ListQueues);
    return (await this.read(listQueueNames)).map((name) => ({ queue_name: name }));
  }

  render(rows: QueueName[]): Rendering {
    return {
      table: {
        columns: [{ key: 'queue_name', label: 'QUEUE', type: 'id' }],
        rows,
        pipe: 'names',
        empty: 'No queues yet: absurdctl create-queue default',
      },
    };
  }
}
